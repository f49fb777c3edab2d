# A plain ViT with UPerNet on its simple pyramid, small enough to be trained from scratch on two CPU cores in a minute.
_base_ = [
    '../_base_/models/upernet_vit.py',
    '../_base_/datasets/shapes_segmentation.py',
    '../_base_/runtime_segmentation.py',
]

num_classes = 6
channels = 64
norm_cfg = dict(_delete_=True, type='BN', requires_grad=True)
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(
        embed_dims=96,
        num_layers=4,
        num_heads=3,
        img_size=128,
        pretrain_img_size=128,
        patch_size=8,
        window_size=8,
        global_blocks=(1, 3),
        rel_pos='decomposed',
        drop_path_rate=0.0,
        # The usual normal of 0.02 is too small for so narrow a model trained from scratch.
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
    ),
    neck=dict(type='mmvitdense.SimpleFeaturePyramid', in_channels=96, out_channels=channels, scale_factors=(2, 1, 0.5)),
    decode_head=dict(
        in_channels=[channels] * 3,
        in_index=[0, 1, 2],
        channels=channels,
        num_classes=num_classes,
        norm_cfg=norm_cfg,
    ),
    auxiliary_head=dict(
        in_channels=channels, in_index=1, channels=channels, num_classes=num_classes, norm_cfg=norm_cfg
    ),
    test_cfg=dict(_delete_=True, mode='whole'),
)

# Many steps on few images: what a small model learns from scratch depends on the number of steps.
max_iters = 1400
train_dataloader = dict(batch_size=2)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=max_iters, T_max=max_iters - 50, eta_min=0),
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1.5e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
)
default_hooks = dict(checkpoint=dict(interval=max_iters), logger=dict(interval=100))
randomness = dict(seed=0)
