_base_ = [
    '../_base_/models/mask2former-panoptic_vit-adapter.py',
    '../_base_/datasets/coco_panoptic_ms.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/beitv2.py',
]

model = dict(backbone=dict(vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.beitv2.large_tuned))))

train_dataloader = dict(
    batch_size=1, sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True), batch_sampler=None
)
max_iters = 265500
interval = 5000
train_cfg = dict(
    type='IterBasedTrainLoop',
    max_iters=max_iters,
    val_interval=interval,
    # Once more at the end.
    dynamic_intervals=[(max_iters // interval * interval + 1, max_iters)],
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[191750, 236000], gamma=0.1)
]
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(layer_decay_rate=0.9, flat_decay_mult=0.0),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
# The averaged weights are those that are evaluated and saved.
custom_hooks = [
    dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=1e-4, gamma=2000, update_buffers=True, priority=49)
]
auto_scale_lr = dict(base_batch_size=16)
