_base_ = './vit-s-dinov2_linear_40k_cityscapes-768.py'

model = dict(
    backbone=dict(vit=dict(preset='dinov2-base', init_cfg=dict(checkpoint=_base_.dinov2.base))),
    decode_head=dict(in_channels=[768]),
)
