# A small NAF with the ViT of lift/vit-tiny_linear_shapes.py, on the images of the built-in shapes alone.
_base_ = '../lift/lift-tiny_pretraining_shapes.py'

model = dict(
    _delete_=True,
    type='mmvitdense.NAFPretraining',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(
        type='mmvitdense.LiftedViT',
        vit=_base_.model.backbone.vit,
        lift=dict(type='mmvitdense.NAF', dims=64, window=5),
        norm=True,
        frozen_lift=False,
    ),
)
