# A small ViT with a linear head, trained from scratch on the built-in shapes: the trunk that LiFT is tried on here.
_base_ = ['../quickstart/vit-tiny_upernet_shapes.py']

width = 96
tiny_vit = dict(
    embed_dims=width,
    num_layers=4,
    num_heads=3,
    img_size=128,
    pretrain_img_size=128,
    patch_size=16,
    pos_embed_cls_slot=False,
    final_norm='last',
)
linear_head = dict(
    type='mmvitdense.LinearSegHead',
    in_channels=[width],
    num_classes=6,
    norm_cfg=dict(type='BN'),
    align_corners=False,
    loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
)
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        **tiny_vit,
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
    ),
    neck=None,
    decode_head=dict(_delete_=True, **linear_head),
    auxiliary_head=None,
)
