_base_ = [
    '../_base_/models/eomt_panoptic.py',
    '../_base_/datasets/coco_panoptic_jitter-640.py',
    '../_base_/schedules/eomt-dinov3_24e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/dinov3.py',
]

model = dict(
    backbone=dict(
        vit=dict(
            _delete_=True,
            preset='dinov3-base',
            # The angles are rescaled at random in training, as in the pre-training.
            rope=dict(kind='dinov3', rescale=2.0),
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.base),
        ),
        num_query_blocks=3,
    ),
)
custom_hooks = [
    dict(
        type='mmvitdense.MaskAnnealingHook',
        starts=[0, 73910, 118256],
        ends=[3000, 103474, 147820],
    )
]
