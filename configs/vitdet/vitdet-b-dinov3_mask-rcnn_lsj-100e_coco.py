_base_ = ['./vitdet-b-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/pretrainings/dinov3.py']

model = dict(
    backbone=dict(
        _delete_=True,
        **_base_.preset_vit,
        preset='dinov3-base',
        window_size=14,
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.base),
    ),
)
