_base_ = ['./vit-adapter-s-deit_upernet_160k_ade20k-512.py', '../_base_/sizes/adapter-base.py']

model = dict(
    backbone=dict(vit=dict(**_base_.size.vit, init_cfg=dict(checkpoint=_base_.deit.base)), **_base_.size.adapter),
    decode_head=dict(in_channels=_base_.size.maps),
    auxiliary_head=dict(in_channels=_base_.size.maps[0]),
)
