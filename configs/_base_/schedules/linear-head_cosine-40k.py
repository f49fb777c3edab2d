# 40k iterations at 16 images, as DINOv3 trains heads on a frozen trunk: a linear warm-up, then half a cosine to zero.
_base_ = './linear-head_40k.py'

max_iters = 40000
train_cfg = dict(val_interval=5000)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=1500, end=max_iters, T_max=max_iters - 1500),
]
optim_wrapper = dict(optimizer=dict(weight_decay=1e-3))
