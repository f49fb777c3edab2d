# kMaX-DeepLab trained from scratch on the built-in shapes.
_base_ = [
    '../_base_/models/kmax_semantic.py',
    '../_base_/models/kmax-tiny.py',
    '../_base_/datasets/shapes_segmentation.py',
    '../_base_/schedules/shapes_600.py',
    '../_base_/runtime_segmentation.py',
]

num_classes = 6
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(_delete_=True, type='mmvitdense.PlainViT', **_base_.tiny_vit),
    neck=[dict(type='mmvitdense.SimpleFeaturePyramid', **_base_.tiny_pyramid), _base_.tiny_kmax],
    decode_head=dict(num_classes=num_classes, criterion=_base_.tiny_criterion),
    test_cfg=dict(_delete_=True, mode='whole'),
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(paramwise_cfg=_base_.tiny_rates)
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters), logger=dict(interval=50))
