# Our recipe: the schedule of the linear head at a tenth of its rate.
_base_ = [
    '../_base_/models/linear_vit-taps.py',
    '../_base_/datasets/ade20k-512.py',
    '../_base_/schedules/linear-head_40k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/dinov2.py',
]

model = dict(
    backbone=dict(
        vit=dict(
            preset='dinov2-base',
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.base),
        ),
        out_indices=(2, 5, 8, 11),
        with_cls_token=True,
    ),
    decode_head=dict(
        _delete_=True,
        type='mmvitdense.DPTSegHead',
        in_channels=[768] * 4,
        channels=256,
        num_classes=150,
        readout='project',
        norm_cfg=dict(type='SyncBN'),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
