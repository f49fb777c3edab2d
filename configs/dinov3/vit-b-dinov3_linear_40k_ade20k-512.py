_base_ = './vit-s-dinov3_linear_40k_ade20k-512.py'

model = dict(
    backbone=dict(vit=dict(preset='dinov3-base', init_cfg=dict(checkpoint=_base_.dinov3.base))),
    decode_head=dict(in_channels=[768]),
)
