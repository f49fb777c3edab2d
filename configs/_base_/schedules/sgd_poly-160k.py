# 160k iterations at 8 images with SGD, as mmseg trains Segmenter.
max_iters = 160000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, by_epoch=False, begin=0, end=max_iters)]
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=0.0))
auto_scale_lr = dict(base_batch_size=8)
