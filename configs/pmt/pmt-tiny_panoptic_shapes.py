# PMT on the built-in shapes, its ViT trained from scratch too, as there are no weights to freeze.
_base_ = [
    '../_base_/models/pmt_panoptic.py',
    '../_base_/models/eomt-tiny.py',
    '../_base_/datasets/shapes_panoptic.py',
    '../_base_/schedules/eomt_shapes.py',
    '../_base_/runtime_detection.py',
]

num_things_classes = 5
num_stuff_classes = 1
classes = dict(num_things_classes=num_things_classes, num_stuff_classes=num_stuff_classes)
model = dict(
    data_preprocessor=dict(pad_size_divisor=128),
    backbone=dict(
        vit=_base_.tiny_vit,
        num_classes=num_things_classes + num_stuff_classes,
        num_queries=20,
        num_blocks=2,
        norm_cfg=dict(type='BN'),
    ),
    panoptic_head=classes,
    panoptic_fusion_head=classes,
    train_cfg=dict(num_points=1024),
    test_cfg=dict(max_per_image=20),
)
train_dataloader = dict(batch_size=4)
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters), logger=dict(interval=50))
