_base_ = [
    '../_base_/models/gfl_vitdet.py',
    '../_base_/models/vitdet-tiny.py',
    '../_base_/datasets/shapes_boxes.py',
    '../_base_/schedules/shapes_600.py',
    '../_base_/runtime_detection.py',
]

channels = _base_.tiny_channels
model = dict(
    data_preprocessor=dict(pad_size_divisor=128),
    backbone=_base_.tiny_vit,
    neck=_base_.tiny_pyramid,
    bbox_head=dict(
        num_classes=5,
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=2,
        anchor_generator=dict(strides=[4, 8, 16, 32]),
    ),
)
train_dataloader = dict(batch_size=4)
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters), logger=dict(interval=50))
