# The head of Mask2Former for the built-in shapes, five classes and their background, on the pyramid of `vitdet-tiny.py`.
_base_ = './vitdet-tiny.py'

tiny_ffn = dict(embed_dims=_base_.tiny_channels, feedforward_channels=256)
tiny_mask2former = dict(
    in_channels=[_base_.tiny_channels] * 4,
    feat_channels=_base_.tiny_channels,
    out_channels=_base_.tiny_channels,
    num_queries=20,
    pixel_decoder=dict(
        norm_cfg=dict(num_groups=8),
        encoder=dict(
            num_layers=2, layer_cfg=dict(self_attn_cfg=dict(embed_dims=_base_.tiny_channels), ffn_cfg=tiny_ffn)
        ),
        positional_encoding=dict(num_feats=32),
    ),
    positional_encoding=dict(num_feats=32),
    transformer_decoder=dict(
        num_layers=3,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=_base_.tiny_channels),
            cross_attn_cfg=dict(embed_dims=_base_.tiny_channels),
            ffn_cfg=tiny_ffn,
        ),
    ),
    loss_cls=dict(class_weight=[1.0] * 6 + [0.1]),
)
