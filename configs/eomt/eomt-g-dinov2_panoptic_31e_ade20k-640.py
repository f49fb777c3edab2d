# Published from the model that was trained on COCO panoptic at this size: give it as load_from, without its classes.
_base_ = [
    '../_base_/models/eomt_panoptic.py',
    '../_base_/datasets/ade20k_panoptic_jitter-640.py',
    '../_base_/schedules/eomt-dinov2_31e-ade20k.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/dinov2.py',
]

classes = dict(num_things_classes=100, num_stuff_classes=50)
model = dict(
    backbone=dict(
        vit=dict(
            preset='dinov2-reg-giant',
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.giant_reg, patch_resize='pinv_antialias'),
        ),
        num_classes=150,
        num_query_blocks=5,
    ),
    panoptic_head=classes,
    panoptic_fusion_head=classes,
)
custom_hooks = [
    dict(
        type='mmvitdense.MaskAnnealingHook',
        starts=[6520, 11410, 16300, 21190, 26080],
        ends=[13040, 17930, 22820, 27710, 32600],
    )
]
