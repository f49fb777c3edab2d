# 24 epochs of COCO, otherwise as eomt-dinov2_12e.py.
_base_ = './eomt-dinov2_12e.py'

max_iters = 177384
train_cfg = dict(max_iters=max_iters, val_interval=7391)
param_scheduler = [dict(type='mmvitdense.TwoStageWarmupPoly', warmup=(500, 1000), total=max_iters, by_epoch=False)]
