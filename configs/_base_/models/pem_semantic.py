# PEM (arXiv 2402.19422) for semantic segmentation, on the simple feature pyramid of an MAE ViT-B. The decode head is losses and
# results alone.
num_classes = 150
width = 768
channels = 256
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
        type='mmvitdense.PlainViT',
        arch='base',
        img_size=512,
        pretrain_img_size=224,
        with_cls_token=True,
        drop_path_rate=0.1,
    ),
    neck=[
        dict(type='mmvitdense.SimpleFeaturePyramid', in_channels=width, out_channels=channels),
        dict(
            type='mmvitdense.PEM',
            in_channels=[channels] * 4,
            num_classes=num_classes,
            num_queries=100,
            num_layers=6,
            embed_dims=256,
            pixel_channels=128,
            mask_channels=256,
            num_heads=8,
            feedforward_channels=2048,
        ),
    ],
    decode_head=dict(type='mmvitdense.MaskTransformerSegHead', num_classes=num_classes),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
