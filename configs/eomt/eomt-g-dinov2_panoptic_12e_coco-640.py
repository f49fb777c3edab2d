_base_ = [
    '../_base_/models/eomt_panoptic.py',
    '../_base_/datasets/coco_panoptic_jitter-640.py',
    '../_base_/schedules/eomt-dinov2_12e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/dinov2.py',
]

model = dict(
    backbone=dict(
        vit=dict(
            preset='dinov2-reg-giant',
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.giant_reg, patch_resize='pinv_antialias'),
        ),
        num_query_blocks=5,
    ),
)
custom_hooks = [
    dict(
        type='mmvitdense.MaskAnnealingHook',
        starts=[14782, 25869, 36955, 48042, 59128],
        ends=[29564, 40651, 51737, 62824, 73910],
    )
]
