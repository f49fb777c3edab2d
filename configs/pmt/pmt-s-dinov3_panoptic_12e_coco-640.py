_base_ = [
    '../_base_/models/pmt_panoptic.py',
    '../_base_/datasets/coco_panoptic_jitter-640.py',
    '../_base_/schedules/pmt_12e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/dinov3.py',
]

model = dict(
    backbone=dict(
        vit=dict(
            preset='dinov3-small',
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.small),
        ),
    ),
)
