_base_ = [
    '../_base_/models/pmt_panoptic.py',
    '../_base_/datasets/coco_instance_jitter-640.py',
    '../_base_/schedules/pmt_12e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/dinov3.py',
]

model = dict(
    backbone=dict(vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.large)), num_classes=80),
    panoptic_head=dict(num_stuff_classes=0),
    panoptic_fusion_head=dict(num_stuff_classes=0),
    test_cfg=dict(panoptic_on=False),
)
