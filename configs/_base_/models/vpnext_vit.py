# VPNeXt (arXiv 2502.16654) as we read it on a ViT-B of DINOv2: the last map grows beside dense patch embeddings; in training,
# the context of the last map is replayed onto those of a half and of three quarters of the depth.
norm_cfg = dict(type='SyncBN', requires_grad=True)
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
        type='mmvitdense.VPNeXtViT',
        vit=dict(preset='dinov2-base', patch_size=16, img_size=512, drop_path_rate=0.1),
        norm=True,
    ),
    decode_head=dict(
        type='mmvitdense.VPNeXtHead',
        in_channels=[768, 768, 768],
        channels=256,
        num_classes=150,
        dropout_ratio=0.1,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=dict(
        type='mmvitdense.ContextReplayHead',
        in_channels=[768, 768, 768],
        channels=512,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
