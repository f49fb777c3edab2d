# 12 epochs of COCO at 16 images a step, for EoMT on DINOv2 (tue-mps/eomt configs/dinov2).
max_iters = 88692
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=7391)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [dict(type='mmvitdense.TwoStageWarmupPoly', warmup=(500, 1000), total=max_iters, by_epoch=False)]
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='float16',
    constructor='mmvitdense.MaskTransformerOptimWrapperConstructor',
    # All is decayed, norms, biases, positions and queries too.
    optimizer=dict(type='AdamW', lr=0.0001, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(layer_decay_rate=0.8),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
# Base for --auto-scale-lr: 16 images in all.
auto_scale_lr = dict(base_batch_size=16)
randomness = dict(seed=0)
