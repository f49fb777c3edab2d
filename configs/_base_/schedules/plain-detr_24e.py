# Ours, for a head on a frozen trunk: the rates, decay and clipping of Plain-DETR's
# configs/swinv2_small_mim_pt_boxrpe_reparam.sh, which trains the trunk too and for 12 epochs, in bfloat16 for 24.
max_epochs = 24
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=max_epochs, milestones=[20], gamma=0.1),
]
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=2e-4, betas=(0.9, 0.999), weight_decay=0.05),
    # No decay of norms, biases, and what makes the bias of boxes and pixels.
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            'level_embed': dict(decay_mult=0.0),
            'cross_attn.bias_x': dict(decay_mult=0.0),
            'cross_attn.bias_y': dict(decay_mult=0.0),
        },
    ),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
# Base for --auto-scale-lr: 16 images in all.
auto_scale_lr = dict(base_batch_size=16)
randomness = dict(seed=0)
