_base_ = ['./vit-adapter-s-deit_mask-rcnn_ms-3x_coco.py', '../_base_/sizes/adapter-base.py']

model = dict(
    backbone=dict(vit=dict(**_base_.size.vit, init_cfg=dict(checkpoint=_base_.deit.base)), **_base_.size.adapter),
    neck=dict(in_channels=_base_.size.maps),
)
