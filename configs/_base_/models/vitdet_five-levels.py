# ViT-B and its simple pyramid for detectors without regions: P3 to P5 from the map of stride 16, P6 and P7 by convolutions.
five_levels = dict(
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        # Every image is padded to multiples of this after normalisation, in training and in testing: to 1024 x 1024.
        pad_size_divisor=1024,
    ),
    backbone=dict(
        type='mmvitdense.PlainViT',
        arch='base',
        img_size=1024,
        pretrain_img_size=224,
        pos_embed_cls_slot=True,
        window_size=14,
        rel_pos='decomposed',
        drop_path_rate=0.1,
    ),
    neck=dict(
        type='mmvitdense.SimpleFeaturePyramid',
        in_channels=768,
        scale_factors=(2, 1, 0.5),
        num_outs=5,
        extra_convs=True,
    ),
)
