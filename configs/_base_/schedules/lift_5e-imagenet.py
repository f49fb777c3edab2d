# Five epochs of ImageNet-1k at 256 images in all, at a constant rate (README of saksham-s/lift).
max_iters = 25024
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5005)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = []
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
auto_scale_lr = dict(base_batch_size=256)
