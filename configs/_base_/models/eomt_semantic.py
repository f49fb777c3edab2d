# EoMT (arXiv 2503.19108) for semantic segmentation: ViT-L of DINOv2 with registers, patches of 16 pixels, 100 queries in its
# last 4 blocks. The heads are losses and results alone.
num_classes = 150
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
        type='mmvitdense.EoMT',
        vit=dict(
            preset='dinov2-reg-large',
            patch_size=16,
            # The table of positions is resized to this grid once, from the 37 x 37 of the pre-training, and then trained.
            pretrain_img_size=512,
            pos_embed_cls_slot=False,
        ),
        num_classes=num_classes,
        num_queries=100,
        num_query_blocks=4,
    ),
    decode_head=dict(type='mmvitdense.MaskTransformerSegHead', num_classes=num_classes),
    train_cfg=dict(),
    # The fewest windows that cover an image, evenly spread; its short side is that of a window.
    test_cfg=dict(mode='even_slide', crop_size=(512, 512)),
)
