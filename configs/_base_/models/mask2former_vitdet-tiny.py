# Mask2Former for the built-in shapes, five classes and their background.
_base_ = ['./mask2former_vitdet.py', './vitdet-tiny.py']

num_things_classes = 5
num_stuff_classes = 1
channels = _base_.tiny_channels
ffn_cfg = dict(embed_dims=channels, feedforward_channels=256)
model = dict(
    data_preprocessor=dict(pad_size_divisor=128),
    backbone=_base_.tiny_vit,
    neck=_base_.tiny_pyramid,
    panoptic_head=dict(
        in_channels=[channels] * 4,
        feat_channels=channels,
        out_channels=channels,
        num_things_classes=num_things_classes,
        num_stuff_classes=num_stuff_classes,
        num_queries=20,
        pixel_decoder=dict(
            norm_cfg=dict(num_groups=8),
            encoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=dict(embed_dims=channels), ffn_cfg=ffn_cfg)),
            positional_encoding=dict(num_feats=32),
        ),
        positional_encoding=dict(num_feats=32),
        transformer_decoder=dict(
            num_layers=3,
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=channels),
                cross_attn_cfg=dict(embed_dims=channels),
                ffn_cfg=ffn_cfg,
            ),
        ),
        loss_cls=dict(class_weight=[1.0] * (num_things_classes + num_stuff_classes) + [0.1]),
    ),
    panoptic_fusion_head=dict(num_things_classes=num_things_classes, num_stuff_classes=num_stuff_classes),
    train_cfg=dict(num_points=1024),
    test_cfg=dict(max_per_image=20),
)
