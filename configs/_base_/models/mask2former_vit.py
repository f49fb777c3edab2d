# Mask2Former for semantic segmentation, 256 channels wide, on the simple feature pyramid of an MAE ViT-B.
_base_ = './mask2former_vit-adapter.py'

num_classes = 150
channels = 256
attention = dict(embed_dims=channels, num_heads=8)
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        arch='base',
        img_size=512,
        pretrain_img_size=224,
        with_cls_token=True,
        drop_path_rate=0.1,
    ),
    neck=dict(type='mmvitdense.SimpleFeaturePyramid', in_channels=768, out_channels=256),
    decode_head=dict(
        in_channels=[256, 256, 256, 256],
        feat_channels=channels,
        out_channels=channels,
        num_classes=num_classes,
        num_queries=100,
        pixel_decoder=dict(
            encoder=dict(
                layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=dict(embed_dims=channels, feedforward_channels=1024))
            ),
            positional_encoding=dict(num_feats=channels // 2),
        ),
        positional_encoding=dict(num_feats=channels // 2),
        transformer_decoder=dict(
            layer_cfg=dict(
                self_attn_cfg=attention,
                cross_attn_cfg=attention,
                ffn_cfg=dict(embed_dims=channels, feedforward_channels=2048),
            )
        ),
        loss_cls=dict(class_weight=[1.0] * num_classes + [0.1]),
    ),
    test_cfg=dict(crop_size=(512, 512), stride=(341, 341)),
)
