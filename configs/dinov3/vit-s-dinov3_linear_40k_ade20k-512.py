# The head drops channels before its norm; a random rescaling of the rotary positions stays off in a frozen trunk.
_base_ = [
    '../_base_/models/linear_vit-taps.py',
    '../_base_/datasets/ade20k-512.py',
    '../_base_/schedules/linear-head_cosine-40k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/dinov3.py',
]

model = dict(
    backbone=dict(vit=dict(preset='dinov3-small', init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.small))),
    decode_head=dict(dropout_ratio=0.1, dropout_before_norm=True),
)
