_base_ = [
    '../_base_/models/mask2former_vitdet-tiny.py',
    '../_base_/datasets/shapes_detection.py',
    '../_base_/schedules/shapes_600.py',
    '../_base_/runtime_detection.py',
]

num_things_classes = 5
num_stuff_classes = 0
model = dict(
    panoptic_head=dict(
        num_stuff_classes=num_stuff_classes,
        loss_cls=dict(class_weight=[1.0] * num_things_classes + [0.1]),
    ),
    panoptic_fusion_head=dict(num_stuff_classes=num_stuff_classes),
    test_cfg=dict(panoptic_on=False),
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters), logger=dict(interval=50))
