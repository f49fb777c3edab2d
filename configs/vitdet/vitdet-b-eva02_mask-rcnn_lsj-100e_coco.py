# Patches of 14 pixels are resized to 16 as the weights load, so that strides are powers of two.
_base_ = ['./vitdet-b-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/pretrainings/eva02.py']

model = dict(
    data_preprocessor=_base_.eva02.pixels,
    backbone=dict(
        _delete_=True,
        **_base_.preset_vit,
        preset='eva02-base',
        patch_size=16,
        window_size=14,
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.eva02.base),
    ),
)
