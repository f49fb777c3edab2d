# kMaX-DeepLab (arXiv 2207.04044) for panoptic segmentation, on the simple feature pyramid of an MAE ViT-B. The head is losses and
# results alone.
num_things_classes = 100
num_stuff_classes = 50
width = 768
channels = 256
model = dict(
    type='MaskFormer',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=640,
        pad_mask=True,
        pad_seg=True,
        seg_pad_value=255,
    ),
    backbone=dict(
        type='mmvitdense.PlainViT',
        arch='base',
        img_size=640,
        pretrain_img_size=224,
        with_cls_token=True,
        drop_path_rate=0.1,
    ),
    neck=[
        dict(type='mmvitdense.SimpleFeaturePyramid', in_channels=width, out_channels=channels),
        dict(
            type='mmvitdense.KMaX',
            in_channels=[channels] * 4,
            num_classes=num_things_classes + num_stuff_classes,
            num_queries=128,
            num_layers=(2, 2, 2),
            embed_dims=256,
            channels=(512, 256, 128, 64),
            num_blocks=(1, 5, 1, 1),
            num_heads=8,
            feedforward_channels=2048,
        ),
    ],
    panoptic_head=dict(
        type='mmvitdense.KMaXHead',
        num_things_classes=num_things_classes,
        num_stuff_classes=num_stuff_classes,
    ),
    panoptic_fusion_head=dict(
        type='mmvitdense.KMaXFusionHead',
        num_things_classes=num_things_classes,
        num_stuff_classes=num_stuff_classes,
    ),
    test_cfg=dict(panoptic_on=True, instance_on=True, thing_thr=0.4, stuff_thr=0.4),
)
