_base_ = [
    '../_base_/models/mask2former_vitdet.py',
    '../_base_/datasets/coco_instance_lsj-1024.py',
    '../_base_/schedules/vitdet-queries_50e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/mae.py',
]

num_things_classes = 80
num_stuff_classes = 0
model = dict(
    backbone=dict(
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base),
    ),
    panoptic_head=dict(
        num_stuff_classes=num_stuff_classes,
        loss_cls=dict(class_weight=[1.0] * num_things_classes + [0.1]),
    ),
    panoptic_fusion_head=dict(num_stuff_classes=num_stuff_classes),
    test_cfg=dict(panoptic_on=False),
)
train_dataloader = dict(batch_size=2)
