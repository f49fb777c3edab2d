# Small enough to be trained from scratch on two CPU cores in minutes, on shapes that parts of other pictures were copied into:
# python tools/make_shapes.py --spliced --root data/spliced-shapes
_base_ = [
    '../_base_/models/iml-vit.py',
    '../_base_/datasets/manipulations-1024.py',
    '../_base_/runtime_segmentation.py',
]

data_root = 'data/spliced-shapes'
size = (128, 128)
model = dict(
    data_preprocessor=dict(size=size),
    backbone=dict(
        arch=None,
        embed_dims=96,
        num_layers=4,
        num_heads=3,
        img_size=128,
        pretrain_img_size=128,
        patch_size=8,
        pos_embed_cls_slot=False,
        window_size=8,
        global_blocks=(1, 3),
        drop_path_rate=0.0,
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
    ),
    neck=dict(in_channels=96, out_channels=64, scale_factors=(2, 1, 0.5), num_outs=5),
    decode_head=dict(in_channels=[64] * 5, channels=64, norm_cfg=dict(type='BN')),
    test_cfg=dict(_delete_=True, mode='whole', keep_logits=True),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmvitdense.LoadManipulationMask'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='mmvitdense.ManipulationEdge', width=7),
    dict(type='mmvitdense.PadPixels', size=size, crop=True),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmvitdense.PadPixels', size=size),
    dict(type='mmvitdense.LoadManipulationMask'),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
    dataset=dict(data_root=f'{data_root}/training', pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=f'{data_root}/validation', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
max_iters = 600
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
