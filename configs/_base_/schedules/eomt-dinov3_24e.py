# 24 epochs of COCO, for S and B, otherwise as eomt-dinov3_12e.py.
_base_ = './eomt-dinov3_12e.py'

max_iters = 177384
train_cfg = dict(max_iters=max_iters, val_interval=7391)
param_scheduler = [dict(type='mmvitdense.TwoStageWarmupPoly', warmup=(2000, 3000), total=max_iters, by_epoch=False)]
optim_wrapper = dict(paramwise_cfg=dict(num_full_blocks=3))
