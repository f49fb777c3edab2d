# EoMT (arXiv 2503.19108) for panoptic segmentation: ViT-L of DINOv2 with registers, patches of 16 pixels, 200 queries in its
# last 4 blocks. The heads are losses and results alone.
num_things_classes = 80
num_stuff_classes = 53
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
        type='mmvitdense.EoMT',
        vit=dict(
            preset='dinov2-reg-large',
            patch_size=16,
            # The table of positions is resized to this grid once, from the 37 x 37 of the pre-training, and then trained.
            pretrain_img_size=640,
            pos_embed_cls_slot=False,
        ),
        num_classes=num_things_classes + num_stuff_classes,
        num_queries=200,
        num_query_blocks=4,
    ),
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
