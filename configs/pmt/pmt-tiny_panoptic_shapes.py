# PMT on the built-in shapes, its ViT trained too, as there are no weights to freeze.
_base_ = '../eomt/eomt-tiny_panoptic_shapes.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PMT',
        vit=_base_.tiny_vit,
        num_classes=6,
        num_queries=20,
        num_blocks=2,
        norm_cfg=dict(type='BN'),
    ),
)
