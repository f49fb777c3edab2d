# A plain ViT small enough to be trained from scratch on two CPU cores in minutes.
_base_ = ['../quickstart/vit-tiny_upernet_shapes.py']

width = 96
norm_cfg = dict(type='BN', requires_grad=True)
loss = dict(type='CrossEntropyLoss', use_sigmoid=False)
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.VPNeXtViT',
        vit=dict(
            embed_dims=width,
            num_layers=4,
            num_heads=3,
            img_size=128,
            patch_size=8,
            init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
        ),
    ),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='mmvitdense.VPNeXtHead',
        in_channels=[width] * 3,
        channels=64,
        low_level_channels=16,
        num_classes=6,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(loss, loss_weight=1.0),
    ),
    auxiliary_head=dict(
        _delete_=True,
        type='mmvitdense.ContextReplayHead',
        in_channels=[width] * 3,
        channels=64,
        num_classes=6,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(loss, loss_weight=0.4),
    ),
)
