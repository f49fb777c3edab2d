# A ViTDet small enough to be trained from scratch on two CPU cores in two minutes.
_base_ = [
    '../_base_/models/mask-rcnn_vitdet.py',
    '../_base_/datasets/shapes_detection.py',
    '../_base_/runtime_detection.py',
]

num_classes = 5
channels = 64
model = dict(
    data_preprocessor=dict(pad_size_divisor=128),
    backbone=dict(
        embed_dims=96,
        num_layers=4,
        num_heads=3,
        feedforward_channels=384,
        img_size=128,
        pretrain_img_size=128,
        patch_size=8,
        pos_embed_cls_slot=False,
        window_size=8,
        global_blocks=(1, 3),
        drop_path_rate=0.0,
    ),
    # One map of stride 8 becomes strides 4, 8 and 16.
    neck=dict(in_channels=96, out_channels=channels, scale_factors=(2, 1, 0.5), num_outs=3),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        num_convs=1,
        anchor_generator=dict(scales=[8], strides=[4, 8, 16]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels, featmap_strides=[4, 8, 16]),
        bbox_head=dict(
            type='Shared2FCBBoxHead',
            in_channels=channels,
            fc_out_channels=256,
            num_classes=num_classes,
        ),
        mask_roi_extractor=dict(out_channels=channels, featmap_strides=[4, 8, 16]),
        mask_head=dict(num_convs=2, in_channels=channels, conv_out_channels=channels, num_classes=num_classes),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100), rcnn=dict(max_per_img=50)),
)

max_iters = 600
train_dataloader = dict(batch_size=4)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=max_iters, T_max=max_iters - 50, eta_min=0),
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
)
default_hooks = dict(checkpoint=dict(interval=max_iters), logger=dict(interval=50))
randomness = dict(seed=0)
