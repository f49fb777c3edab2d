# UPerNet on four normed maps of the frozen ViT-B, 13 bands of Sentinel-2.
_base_ = [
    '../_base_/models/upernet_vit.py',
    '../_base_/datasets/dfc2020_s2-224.py',
    '../_base_/schedules/frozen_10k.py',
    '../_base_/runtime_segmentation.py',
]

num_classes = 8
model = dict(
    data_preprocessor=dict(**_base_.softcon.pixels, bgr_to_rgb=False, size=(224, 224)),
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        preset='softcon-base-s2',
        img_size=224,
        out_indices=(4, 6, 10, 11),
        frozen_stages='all',
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.softcon.base_s2),
    ),
    neck=dict(type='Feature2Pyramid', embed_dim=768, rescales=[4, 2, 1, 0.5]),
    decode_head=dict(channels=512, num_classes=num_classes),
    auxiliary_head=dict(num_classes=num_classes),
    test_cfg=dict(_delete_=True, mode='whole'),
)
