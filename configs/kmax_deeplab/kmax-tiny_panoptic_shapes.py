# kMaX-DeepLab trained from scratch on the built-in shapes.
_base_ = [
    '../_base_/models/kmax_panoptic.py',
    '../_base_/models/kmax-tiny.py',
    '../_base_/datasets/shapes_panoptic.py',
    '../_base_/schedules/shapes_600.py',
    '../_base_/runtime_detection.py',
]

classes = dict(num_things_classes=5, num_stuff_classes=1)
model = dict(
    data_preprocessor=dict(pad_size_divisor=128),
    backbone=dict(_delete_=True, type='mmvitdense.PlainViT', **_base_.tiny_vit),
    neck=[dict(type='mmvitdense.SimpleFeaturePyramid', **_base_.tiny_pyramid), _base_.tiny_kmax],
    panoptic_head=dict(criterion=_base_.tiny_criterion, **classes),
    panoptic_fusion_head=classes,
    test_cfg=dict(max_per_image=20),
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(paramwise_cfg=_base_.tiny_rates)
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters), logger=dict(interval=50))
