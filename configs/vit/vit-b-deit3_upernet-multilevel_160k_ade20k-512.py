_base_ = ['./vit-b-mae_upernet-multilevel_160k_ade20k-512.py', '../_base_/pretrainings/deit3.py']

model = dict(
    backbone=dict(
        _delete_=True,
        **_base_.preset_vit,
        preset='deit3-base',
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.deit3.base),
    ),
)
