_base_ = [
    '../_base_/models/retinanet_vitdet.py',
    '../_base_/models/vitdet-tiny.py',
    '../_base_/datasets/shapes_boxes.py',
    '../_base_/schedules/shapes_600.py',
    '../_base_/runtime_detection.py',
]

model = dict(
    data_preprocessor=dict(pad_size_divisor=128),
    backbone=_base_.tiny_vit,
    neck=_base_.tiny_pyramid,
    bbox_head=_base_.tiny_dense_head,
)
train_dataloader = dict(batch_size=4)
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters), logger=dict(interval=50))
