# PEM (arXiv 2402.19422) for panoptic segmentation, on the simple feature pyramid of an MAE ViT-B. The head is losses and results
# alone.
num_things_classes = 100
num_stuff_classes = 50
width = 768
channels = 256
model = dict(
    type='MaskFormer',
    data_preprocessor=dict(
        # Padding is black, in training and in testing.
        type='mmvitdense.RawPaddingDetDataPreprocessor',
        raw_pad_value=0,
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
            type='mmvitdense.PEM',
            in_channels=[channels] * 4,
            num_classes=num_things_classes + num_stuff_classes,
            num_queries=100,
            num_layers=6,
            embed_dims=256,
            pixel_channels=128,
            mask_channels=256,
            num_heads=8,
            feedforward_channels=2048,
        ),
    ],
    panoptic_head=dict(
        type='mmvitdense.MaskTransformerHead',
        num_things_classes=num_things_classes,
        num_stuff_classes=num_stuff_classes,
    ),
    panoptic_fusion_head=dict(
        type='MaskFormerFusionHead',
        num_things_classes=num_things_classes,
        num_stuff_classes=num_stuff_classes,
    ),
    test_cfg=dict(
        panoptic_on=True,
        semantic_on=False,
        instance_on=True,
        max_per_image=100,
        object_mask_thr=0.8,
        iou_thr=0.8,
        filter_low_score=True,
    ),
)
