_base_ = ['./vit-b-dinov2_vpnext_160k_ade20k-512.py']

width = 1024
model = dict(
    backbone=dict(
        vit=dict(
            preset='dinov2-large',
            drop_path_rate=0.3,
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.large),
        )
    ),
    decode_head=dict(in_channels=[width] * 3),
    auxiliary_head=dict(in_channels=[width] * 3),
)
