# 16 epochs of ADE20K without layer decay, otherwise as eomt-dinov3_12e.py. The lr_mult of 0.1 of the published recipe has no
# effect in the published code: all learns at the full rate.
_base_ = './eomt-dinov3_12e.py'

max_iters = 20208
train_cfg = dict(max_iters=max_iters, val_interval=2526)
param_scheduler = [dict(type='mmvitdense.TwoStageWarmupPoly', warmup=(2000, 3000), total=max_iters, by_epoch=False)]
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=1.0))
