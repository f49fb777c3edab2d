# 12 epochs of COCO at 16 images a step, for PMT (tue-mps/pmt image/configs and image/training): the rate rises for 6000 steps
# and falls by a cosine. In bfloat16, as DINOv3 was not meant for float16; the released models were trained in float16.
max_iters = 88692
warmup = 6000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=7391)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    # From next to zero: the published rule starts with zero, from which this schedule cannot.
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=warmup),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=warmup, end=max_iters, T_max=max_iters - warmup, eta_min=1e-9),
]
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    # All that is trained is decayed, norms, biases and queries too.
    optimizer=dict(type='AdamW', lr=0.0002, betas=(0.9, 0.999), weight_decay=0.05),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
custom_hooks = [
    dict(
        type='mmvitdense.MaskAnnealingHook',
        starts=[0, 23651, 32520, 41389, 50258, 59128],
        ends=[3000, 38433, 47302, 56171, 65040, 73910],
    )
]
# Base for --auto-scale-lr: 16 images in all.
auto_scale_lr = dict(base_batch_size=16)
randomness = dict(seed=0)
