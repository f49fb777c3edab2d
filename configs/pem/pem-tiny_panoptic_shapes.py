# PEM trained from scratch on the built-in shapes.
_base_ = [
    '../_base_/models/pem_panoptic.py',
    '../_base_/models/pem-tiny.py',
    '../_base_/datasets/shapes_panoptic.py',
    '../_base_/schedules/shapes_600.py',
    '../_base_/runtime_detection.py',
]

classes = dict(num_things_classes=5, num_stuff_classes=1)
model = dict(
    data_preprocessor=dict(pad_size_divisor=128),
    backbone=dict(_delete_=True, type='mmvitdense.PlainViT', **_base_.tiny_vit),
    neck=[dict(type='mmvitdense.SimpleFeaturePyramid', **_base_.tiny_pyramid), _base_.tiny_pem],
    panoptic_head=classes,
    panoptic_fusion_head=classes,
    train_cfg=dict(num_points=1024),
    test_cfg=dict(max_per_image=20),
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters), logger=dict(interval=50))
