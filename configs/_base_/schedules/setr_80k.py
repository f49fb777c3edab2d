# 80k iterations at 8 images, as mmseg trains SETR on Cityscapes: ten times the rate of setr_160k.py.
_base_ = './setr_160k.py'

max_iters = 80000
train_cfg = dict(max_iters=max_iters, val_interval=8000)
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, by_epoch=False, begin=0, end=max_iters)]
optim_wrapper = dict(optimizer=dict(lr=1e-2))
auto_scale_lr = dict(base_batch_size=8)
