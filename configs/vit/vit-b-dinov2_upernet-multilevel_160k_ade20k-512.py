# Patches of 14 pixels are resized to 16 as the weights load, so that strides are powers of two.
_base_ = ['./vit-b-mae_upernet-multilevel_160k_ade20k-512.py', '../_base_/pretrainings/dinov2.py']

model = dict(
    backbone=dict(
        _delete_=True,
        **_base_.preset_vit,
        preset='dinov2-base',
        patch_size=16,
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.base),
    ),
)
