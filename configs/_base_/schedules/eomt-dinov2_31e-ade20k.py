# 31 epochs of ADE20K, otherwise as eomt-dinov2_12e.py.
_base_ = './eomt-dinov2_12e.py'

max_iters = 39120
train_cfg = dict(max_iters=max_iters, val_interval=3912)
param_scheduler = [dict(type='mmvitdense.TwoStageWarmupPoly', warmup=(500, 1000), total=max_iters, by_epoch=False)]
