_base_ = [
    '../_base_/models/eomt_panoptic.py',
    '../_base_/datasets/coco_instance_jitter-1280.py',
    '../_base_/schedules/eomt-dinov2_12e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/dinov2.py',
]

model = dict(
    data_preprocessor=dict(pad_size_divisor=1280),
    backbone=dict(
        vit=dict(
            pretrain_img_size=1280,
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.large_reg, patch_resize='pinv_antialias'),
        ),
        num_classes=80,
    ),
    panoptic_head=dict(num_stuff_classes=0),
    panoptic_fusion_head=dict(num_stuff_classes=0),
    test_cfg=dict(panoptic_on=False),
)
custom_hooks = [
    dict(
        type='mmvitdense.MaskAnnealingHook',
        starts=[14782, 29564, 44346, 59128],
        ends=[29564, 44346, 59128, 73910],
    )
]
