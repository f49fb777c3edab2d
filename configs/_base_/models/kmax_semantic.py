# kMaX-DeepLab (arXiv 2207.04044) for semantic segmentation, on the simple feature pyramid of an MAE ViT-B. The decode head is
# losses and results alone.
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
            type='mmvitdense.KMaX',
            in_channels=[channels] * 4,
            num_classes=num_classes,
            num_queries=128,
            num_layers=(2, 2, 2),
            embed_dims=256,
            channels=(512, 256, 128, 64),
            num_blocks=(1, 5, 1, 1),
            num_heads=8,
            feedforward_channels=2048,
        ),
    ],
    decode_head=dict(type='mmvitdense.KMaXSegHead', num_classes=num_classes),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
