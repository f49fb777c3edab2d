_base_ = './benchmarking-window16-b-mae_mask-rcnn_lsj-100e_coco.py'

max_iters = 46093
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=461),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0, end=max_iters),
]
