_base_ = [
    '../_base_/models/linear_vit-taps.py',
    '../_base_/datasets/voc2012-512.py',
    '../_base_/schedules/linear-head_40k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/dinov2.py',
]

model = dict(
    backbone=dict(vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.small))),
    decode_head=dict(num_classes=21),
)
