# PEM trained from scratch on the built-in shapes.
_base_ = [
    '../_base_/models/pem_semantic.py',
    '../_base_/models/pem-tiny.py',
    '../_base_/datasets/shapes_segmentation.py',
    '../_base_/schedules/shapes_600.py',
    '../_base_/runtime_segmentation.py',
]

num_classes = 6
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(_delete_=True, type='mmvitdense.PlainViT', **_base_.tiny_vit),
    neck=[dict(type='mmvitdense.SimpleFeaturePyramid', **_base_.tiny_pyramid), _base_.tiny_pem],
    decode_head=dict(num_classes=num_classes, train_cfg=dict(num_points=1024)),
    test_cfg=dict(_delete_=True, mode='whole'),
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters), logger=dict(interval=50))
