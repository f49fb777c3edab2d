_base_ = [
    '../_base_/models/eomt_semantic.py',
    '../_base_/datasets/ade20k_jitter-512.py',
    '../_base_/schedules/eomt-dinov2_31e-ade20k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/dinov2.py',
]

model = dict(
    backbone=dict(
        vit=dict(
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.large_reg, patch_resize='pinv_antialias'),
        ),
    ),
)
custom_hooks = [
    dict(
        type='mmvitdense.MaskAnnealingHook',
        starts=[6520, 13040, 19560, 26080],
        ends=[13040, 19560, 26080, 32600],
    )
]
