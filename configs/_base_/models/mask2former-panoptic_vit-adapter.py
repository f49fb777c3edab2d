# Mask2Former for panoptic segmentation on ViT-Adapter-L around BEiT.
_base_ = ['./mask2former_vitdet.py', '../sizes/adapter-large-beit.py']

model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        _delete_=True,
        type='mmvitdense.ViTAdapter',
        vit=_base_.size.vit,
        **_base_.size.adapter,
        norm_cfg=dict(type='SyncBN'),
    ),
    neck=None,
    panoptic_head=dict(in_channels=_base_.size.maps),
)
