_base_ = './vit-fpn-l-mae_mask-rcnn_lsj-100e_coco.py'

model = dict(backbone=dict(init_cfg=None))
max_iters = 737500
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=461),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0, end=max_iters),
]
optim_wrapper = dict(optimizer=dict(lr=1.6e-4, weight_decay=0.2))
