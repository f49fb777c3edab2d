# Patches of 14 pixels are resized to 16 as the weights load, so that strides are powers of two.
_base_ = ['./vitdet-b-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/pretrainings/dinov2.py']

model = dict(
    backbone=dict(
        _delete_=True,
        **_base_.preset_vit,
        preset='dinov2-base',
        patch_size=16,
        window_size=14,
        rel_pos='decomposed',
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.base),
    ),
)
