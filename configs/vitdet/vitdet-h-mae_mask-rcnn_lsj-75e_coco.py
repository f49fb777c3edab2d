_base_ = ['./vitdet-b-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/sizes/vitdet-huge.py']

model = dict(
    # MAE's ViT-H with its patch embedding resized from 14 to 16 pixels, published with ViTDet.
    backbone=dict(**_base_.size.vit, drop_path_rate=0.5, init_cfg=dict(checkpoint=_base_.mae.huge_patch16)),
    neck=_base_.size.neck,
)

# 75 epochs. The fraction of the warm-up is not rescaled in the published config, which makes 188 iterations of 250.
max_iters = 138281
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=188),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[122916, 133159], gamma=0.1),
]
optim_wrapper = _base_.size.optim_wrapper
