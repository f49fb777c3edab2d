# RetinaNet on ViT-B and its simple pyramid: P3 to P5 from the map of stride 16, P6 and P7 by convolutions.
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'

model = dict(
    # Every image is padded to multiples of this after normalisation, in training and in testing: to 1024 x 1024.
    data_preprocessor=dict(pad_size_divisor=1024),
    backbone=dict(
        _delete_=True,
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
        _delete_=True,
        type='mmvitdense.SimpleFeaturePyramid',
        in_channels=768,
        scale_factors=(2, 1, 0.5),
        num_outs=5,
        extra_convs=True,
    ),
)
