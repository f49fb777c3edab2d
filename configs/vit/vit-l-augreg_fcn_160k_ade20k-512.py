_base_ = './vit-b-augreg_fcn_160k_ade20k-512.py'

model = dict(
    backbone=dict(arch='large', drop_path_rate=0.3, init_cfg=dict(checkpoint=_base_.augreg.large_384)),
    decode_head=dict(in_channels=1024),
)
