_base_ = './vit-s-dinov2_linear-ms_40k_voc2012-640.py'

model = dict(
    backbone=dict(vit=dict(preset='dinov2-base', init_cfg=dict(checkpoint=_base_.dinov2.base))),
    decode_head=dict(in_channels=[768] * 4),
)
