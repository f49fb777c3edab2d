_base_ = [
    '../_base_/models/eomt_semantic.py',
    '../_base_/datasets/ade20k_jitter-512.py',
    '../_base_/schedules/eomt-dinov3_16e-ade20k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/dinov3.py',
]

model = dict(
    backbone=dict(
        vit=dict(
            _delete_=True,
            preset='dinov3-large',
            # The angles are rescaled at random in training, as in the pre-training.
            rope=dict(kind='dinov3', rescale=2.0),
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.large),
        ),
    ),
)
custom_hooks = [
    dict(
        type='mmvitdense.MaskAnnealingHook',
        starts=[0, 6520, 9780, 13040],
        ends=[3000, 9780, 13040, 16300],
    )
]
