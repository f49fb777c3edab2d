# 12 epochs of COCO at 16 images a step, for EoMT-L on DINOv3 (tue-mps/eomt configs/dinov3): the blocks with queries learn at
# the full rate. In bfloat16, as DINOv3 was not meant for float16; the released models were trained in float16.
max_iters = 88692
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=7391)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [dict(type='mmvitdense.TwoStageWarmupPoly', warmup=(2000, 3000), total=max_iters, by_epoch=False)]
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    constructor='mmvitdense.MaskTransformerOptimWrapperConstructor',
    # All is decayed, norms, biases, positions and queries too.
    optimizer=dict(type='AdamW', lr=0.0002, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(layer_decay_rate=0.8, num_full_blocks=4),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
# Base for --auto-scale-lr: 16 images in all.
auto_scale_lr = dict(base_batch_size=16)
randomness = dict(seed=0)
