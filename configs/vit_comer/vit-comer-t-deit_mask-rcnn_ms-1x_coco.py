_base_ = ['./vit-comer-s-deit_mask-rcnn_ms-1x_coco.py', '../_base_/sizes/adapter-tiny.py']

model = dict(
    backbone=dict(vit=dict(**_base_.size.vit, init_cfg=dict(checkpoint=_base_.deit.tiny))),
    neck=dict(in_channels=_base_.size.maps),
)
optim_wrapper = dict(optimizer=dict(lr=2e-4, weight_decay=0.01))
