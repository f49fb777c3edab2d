_base_ = [
    '../_base_/models/eomt_panoptic.py',
    '../_base_/datasets/coco_instance_jitter-1280.py',
    '../_base_/schedules/eomt-dinov3_12e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/dinov3.py',
]

model = dict(
    data_preprocessor=dict(pad_size_divisor=1280),
    backbone=dict(
        vit=dict(
            _delete_=True,
            preset='dinov3-large',
            # The angles are rescaled at random in training, as in the pre-training.
            rope=dict(kind='dinov3', rescale=2.0),
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.large),
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
