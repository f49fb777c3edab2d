_base_ = [
    '../_base_/models/pmt_semantic.py',
    '../_base_/datasets/ade20k_jitter-512.py',
    '../_base_/schedules/pmt_16e-ade20k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/dinov3.py',
]

model = dict(
    backbone=dict(vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.large))),
)
