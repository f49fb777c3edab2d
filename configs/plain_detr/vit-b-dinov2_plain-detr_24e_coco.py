# Patches of 14 pixels, so that the strides of the proposals are 7, 14, 28 and 56; with registers.
_base_ = ['./vit-s-dinov3_plain-detr_24e_coco.py', '../_base_/pretrainings/dinov2.py']

model = dict(
    stride=14,
    data_preprocessor=dict(pad_size_divisor=14),
    backbone=dict(vit=dict(preset='dinov2-reg-base', init_cfg=dict(checkpoint=_base_.dinov2.base_reg))),
    neck=dict(in_channels=[3072]),
)
