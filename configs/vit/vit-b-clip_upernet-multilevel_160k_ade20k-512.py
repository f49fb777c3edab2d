_base_ = ['./vit-b-mae_upernet-multilevel_160k_ade20k-512.py', '../_base_/pretrainings/clip.py']

model = dict(
    data_preprocessor=_base_.clip.pixels,
    backbone=dict(
        _delete_=True,
        **_base_.preset_vit,
        preset='clip-base-patch16',
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.clip.base_patch16),
    ),
)
