# A ViT and a KMaX for the built-in shapes, small enough to be trained from scratch on a CPU.
_base_ = './vitdet-tiny.py'

tiny_kmax = dict(
    type='mmvitdense.KMaX',
    in_channels=[_base_.tiny_channels] * 4,
    num_classes=6,
    num_queries=20,
    num_layers=(1, 1, 1),
    embed_dims=64,
    channels=(32, 32, 16, 16),
    num_blocks=(1, 2, 1, 1),
    num_heads=4,
    feedforward_channels=256,
    # The published momentum of 0.01 is for 150 thousand steps.
    norm_cfg=dict(type='BN', eps=1e-3, momentum=0.1),
)
tiny_criterion = dict(pixel_samples=512, semantic_samples=512)
# The gain of the logits of masks starts at 0.1, and a few hundred steps at the rate of all else would leave the masks blurred.
tiny_rates = dict(custom_keys={'mask_norm': dict(lr_mult=30.0, decay_mult=0.0)})
