# 107 epochs of Cityscapes, otherwise as eomt-dinov2_12e.py.
_base_ = './eomt-dinov2_12e.py'

max_iters = 19902
train_cfg = dict(max_iters=max_iters, val_interval=1860)
param_scheduler = [dict(type='mmvitdense.TwoStageWarmupPoly', warmup=(500, 1000), total=max_iters, by_epoch=False)]
