# One linear layer on the last normed map of a frozen DINOv2 ViT-S, whose image gets a border of zeros on both sides.
model = dict(
    type='mmvitdense.WindowedEncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    backbone=dict(
        type='mmvitdense.ViTTaps',
        vit=dict(preset='dinov2-small', frozen_stages='all'),
        out_indices=-1,
    ),
    decode_head=dict(
        type='mmvitdense.LinearSegHead',
        in_channels=[384],
        num_classes=150,
        norm_cfg=dict(type='SyncBN'),
        dropout_ratio=0.0,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
