_base_ = ['./vit-b-mae_upernet-multilevel_160k_ade20k-512.py', '../_base_/pretrainings/augreg.py']

model = dict(
    data_preprocessor=_base_.augreg.pixels,
    backbone=dict(
        _delete_=True,
        **_base_.preset_vit,
        preset='augreg-base',
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.augreg.base),
    ),
)
