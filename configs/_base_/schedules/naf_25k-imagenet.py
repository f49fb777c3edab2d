# 25 000 iterations of four images at a constant rate, in bfloat16 (config/ and train.py of valeoai/NAF).
max_iters = 25000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=6250)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = []
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=2e-4, betas=(0.9, 0.999), weight_decay=1e-5),
)
auto_scale_lr = dict(base_batch_size=4)
