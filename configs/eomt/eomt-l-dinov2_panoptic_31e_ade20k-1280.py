# Published from the model that was trained on COCO panoptic at this size: give it as load_from, without its classes.
_base_ = [
    '../_base_/models/eomt_panoptic.py',
    '../_base_/datasets/ade20k_panoptic_jitter-1280.py',
    '../_base_/schedules/eomt-dinov2_31e-ade20k.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/dinov2.py',
]

classes = dict(num_things_classes=100, num_stuff_classes=50)
model = dict(
    data_preprocessor=dict(pad_size_divisor=1280),
    backbone=dict(
        vit=dict(
            pretrain_img_size=1280,
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.large_reg, patch_resize='pinv_antialias'),
        ),
        num_classes=150,
    ),
    panoptic_head=classes,
    panoptic_fusion_head=classes,
)
custom_hooks = [
    dict(
        type='mmvitdense.MaskAnnealingHook',
        starts=[6520, 13040, 19560, 26080],
        ends=[13040, 19560, 26080, 32600],
    )
]
