_base_ = './vit-s-dinov3_plain-detr_24e_coco.py'

model = dict(
    backbone=dict(vit=dict(preset='dinov3-large', init_cfg=dict(checkpoint=_base_.dinov3.large))),
    neck=dict(in_channels=[4096]),
)
