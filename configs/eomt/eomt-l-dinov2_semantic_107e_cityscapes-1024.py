_base_ = [
    '../_base_/models/eomt_semantic.py',
    '../_base_/datasets/cityscapes_jitter-1024.py',
    '../_base_/schedules/eomt-dinov2_107e-cityscapes.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/dinov2.py',
]

model = dict(
    data_preprocessor=dict(size=(1024, 1024)),
    backbone=dict(
        vit=dict(
            pretrain_img_size=1024,
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.large_reg, patch_resize='pinv_antialias'),
        ),
        num_classes=19,
    ),
    decode_head=dict(num_classes=19),
    test_cfg=dict(crop_size=(1024, 1024)),
)
custom_hooks = [
    dict(
        type='mmvitdense.MaskAnnealingHook',
        starts=[3317, 6634, 9951, 13268],
        ends=[6634, 9951, 13268, 16585],
    )
]
