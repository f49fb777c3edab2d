_base_ = ['./vit-adapter-s-deit_upernet_160k_ade20k-512.py', '../_base_/sizes/adapter-tiny.py']

model = dict(
    backbone=dict(vit=dict(**_base_.size.vit, init_cfg=dict(checkpoint=_base_.deit.tiny))),
    decode_head=dict(in_channels=_base_.size.maps),
    auxiliary_head=dict(in_channels=_base_.size.maps[0]),
)
optim_wrapper = dict(optimizer=dict(lr=1.2e-4))
