# 36 rounds of 120,000 images at 64 images an iteration, in three groups of learning rates (hustvl/MIMDet configs/common.py).
max_iters = 67500
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=1875)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    # From next to nothing: mmengine divides by the first factor.
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=469),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[50625, 61875], gamma=0.1),
]
optim_wrapper = dict(
    type='AmpOptimWrapper',
    constructor='mmvitdense.LearningRateOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=8e-5, betas=(0.9, 0.999), weight_decay=0.1),
    paramwise_cfg=dict(
        # The decoder, although pre-trained, learns as fast as neck and heads.
        lr_mults={'backbone.stem': 1.0, 'backbone.vit': 1 / 2.0, '': 2.0},
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
    ),
)
# Base for --auto-scale-lr: 64 images in all.
auto_scale_lr = dict(base_batch_size=64)
