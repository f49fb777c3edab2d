# 160k iterations at 16 images with a layer decay, as ViT-Adapter and ViT-CoMer train segmentors. Warm-up and decay
# multiply from the first iteration on, as they did in mmcv 1.
max_iters = 160000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=0, end=max_iters),
]
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    # Nothing that has one dimension is decayed (norms, biases, gains); position tables and embeddings of levels are.
    paramwise_cfg=dict(layer_decay_rate=0.95, flat_decay_mult=0.0),
)
auto_scale_lr = dict(base_batch_size=16)
