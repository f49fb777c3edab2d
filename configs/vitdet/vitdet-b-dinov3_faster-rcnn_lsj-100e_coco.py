_base_ = ['./vitdet-b-mae_faster-rcnn_lsj-100e_coco.py', '../_base_/pretrainings/dinov3.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        preset='dinov3-base',
        img_size=1024,
        window_size=14,
        drop_path_rate=0.1,
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.base),
    ),
)
