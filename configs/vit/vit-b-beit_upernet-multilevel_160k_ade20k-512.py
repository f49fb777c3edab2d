_base_ = ['./vit-b-mae_upernet-multilevel_160k_ade20k-512.py', '../_base_/pretrainings/beit.py']

model = dict(
    data_preprocessor=_base_.beit.pixels,
    backbone=dict(
        _delete_=True,
        **_base_.preset_vit,
        preset='beit-base',
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.beit.base_tuned),
    ),
)
