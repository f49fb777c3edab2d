# Mask2Former for the built-in shapes, five classes and their background.
_base_ = ['./mask2former_vitdet.py', './mask2former-tiny.py']

classes = dict(num_things_classes=5, num_stuff_classes=1)
model = dict(
    data_preprocessor=dict(pad_size_divisor=128),
    backbone=_base_.tiny_vit,
    neck=_base_.tiny_pyramid,
    panoptic_head=dict(**classes, **_base_.tiny_mask2former),
    panoptic_fusion_head=classes,
    train_cfg=dict(num_points=1024),
    test_cfg=dict(max_per_image=20),
)
