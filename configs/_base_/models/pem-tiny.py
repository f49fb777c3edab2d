# A ViT and a PEM for the built-in shapes, small enough to be trained from scratch on a CPU.
_base_ = './vitdet-tiny.py'

tiny_pem = dict(
    type='mmvitdense.PEM',
    in_channels=[_base_.tiny_channels] * 4,
    num_classes=6,
    num_queries=20,
    num_layers=3,
    embed_dims=64,
    pixel_channels=64,
    mask_channels=64,
    feedforward_channels=256,
    norm_cfg=dict(type='BN'),
)
