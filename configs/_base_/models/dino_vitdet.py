# DINO (arXiv 2203.03605) with four levels, strides 8 to 64, of the simple pyramid of ViT-B.
_base_ = './boxes_dino.py'

model = dict(
    _base_.dino,
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
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
        out_channels=256,
        scale_factors=(2, 1, 0.5),
        num_outs=4,
        extra_convs=True,
    ),
)
