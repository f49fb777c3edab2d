# EoMT trained from scratch on the built-in shapes.
_base_ = [
    '../_base_/models/eomt_semantic.py',
    '../_base_/models/eomt-tiny.py',
    '../_base_/datasets/shapes_segmentation.py',
    '../_base_/schedules/eomt_shapes.py',
    '../_base_/runtime_segmentation.py',
]

num_classes = 6
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(vit=_base_.tiny_vit, num_classes=num_classes, num_queries=20, num_query_blocks=2),
    decode_head=dict(num_classes=num_classes, train_cfg=dict(num_points=1024)),
    test_cfg=dict(_delete_=True, mode='whole'),
)
train_dataloader = dict(batch_size=4)
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters), logger=dict(interval=50))
