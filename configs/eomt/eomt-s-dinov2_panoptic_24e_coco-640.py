_base_ = [
    '../_base_/models/eomt_panoptic.py',
    '../_base_/datasets/coco_panoptic_jitter-640.py',
    '../_base_/schedules/eomt-dinov2_24e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/dinov2.py',
]

model = dict(
    backbone=dict(
        vit=dict(
            preset='dinov2-reg-small',
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.small_reg, patch_resize='pinv_antialias'),
        ),
        num_query_blocks=3,
    ),
)
custom_hooks = [
    dict(
        type='mmvitdense.MaskAnnealingHook',
        starts=[29564, 73910, 118256],
        ends=[59128, 103474, 147820],
    )
]
