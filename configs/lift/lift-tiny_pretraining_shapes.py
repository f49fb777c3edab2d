# LiFT for the ViT of vit-tiny_linear_shapes.py, on the images of the built-in shapes alone.
_base_ = [
    '../_base_/models/lift-pretraining.py',
    '../_base_/datasets/imagenet_lift-448.py',
    '../_base_/runtime_segmentation.py',
]

trunk = 'work_dirs/vit-tiny_linear_shapes/iter_1400.pth'
model = dict(
    backbone=dict(
        vit=dict(
            _delete_=True,
            embed_dims=96,
            num_layers=4,
            num_heads=3,
            img_size=128,
            pretrain_img_size=128,
            patch_size=16,
            pos_embed_cls_slot=False,
            final_norm='last',
            frozen_stages='all',
            init_cfg=dict(type='ViTPretrained', checkpoint=trunk),
        ),
        facet='token',
        norm=True,
    ),
)
data_root = 'data/shapes/'
resize = dict(type='Resize', scale=(128, 128), keep_ratio=False)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    resize,
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmvitdense.PackImage'),
]
test_pipeline = [dict(type='LoadImageFromFile'), resize, dict(type='mmvitdense.PackImage')]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, data_prefix=dict(img_path='images/training'), pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=10,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, data_prefix=dict(img_path='images/validation'), pipeline=test_pipeline),
)
test_dataloader = val_dataloader
max_iters = 1200
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters, eta_min=0)]
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3))
default_hooks = dict(checkpoint=dict(interval=max_iters), logger=dict(interval=100))
randomness = dict(seed=0)
