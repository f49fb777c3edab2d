# Mask2Former for semantic segmentation, 1024 channels wide, on ViT-Adapter-L around a BEiT with class token.
num_classes = 171
channels = 1024
attention = dict(embed_dims=channels, num_heads=32)
ffn = dict(
    embed_dims=channels, feedforward_channels=4096, num_fcs=2, ffn_drop=0.0, act_cfg=dict(type='ReLU', inplace=True)
)
model = dict(
    type='mmvitdense.WindowedEncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(896, 896),
    ),
    backbone=dict(
        type='mmvitdense.ViTAdapter',
        vit=dict(
            arch='large',
            img_size=896,
            pretrain_img_size=896,
            with_cls_token=True,
            pos_embed=None,
            rel_pos='bias',
            qkv_bias='qv',
            layer_scale_init=1e-6,
            drop_path_rate=0.3,
        ),
        deform_num_heads=16,
        deform_ratio=0.5,
        gamma_init=1e-6,
        vit_feature='stagewise',
        norm_cfg=dict(type='SyncBN'),
        with_cp=True,
    ),
    decode_head=dict(
        type='mmvitdense.Mask2FormerSegHead',
        in_channels=[1024, 1024, 1024, 1024],
        strides=[4, 8, 16, 32],
        feat_channels=channels,
        out_channels=channels,
        num_classes=num_classes,
        num_queries=200,
        num_transformer_feat_level=3,
        align_corners=False,
        pixel_decoder=dict(
            type='mmdet.MSDeformAttnPixelDecoder',
            num_outs=3,
            norm_cfg=dict(type='GN', num_groups=32),
            act_cfg=dict(type='ReLU'),
            encoder=dict(
                num_layers=6,
                layer_cfg=dict(
                    self_attn_cfg=dict(
                        **attention, num_levels=3, num_points=4, im2col_step=64, dropout=0.0, batch_first=True
                    ),
                    ffn_cfg=ffn,
                ),
            ),
            positional_encoding=dict(num_feats=channels // 2, normalize=True),
        ),
        enforce_decoder_input_project=False,
        positional_encoding=dict(num_feats=channels // 2, normalize=True),
        transformer_decoder=dict(
            return_intermediate=True,
            num_layers=9,
            layer_cfg=dict(
                self_attn_cfg=dict(**attention, attn_drop=0.0, proj_drop=0.0, dropout_layer=None, batch_first=True),
                cross_attn_cfg=dict(**attention, attn_drop=0.0, proj_drop=0.0, dropout_layer=None, batch_first=True),
                ffn_cfg=dict(**ffn, dropout_layer=None, add_identity=True),
            ),
        ),
        loss_cls=dict(
            type='mmdet.CrossEntropyLoss',
            use_sigmoid=False,
            loss_weight=2.0,
            reduction='mean',
            class_weight=[1.0] * num_classes + [0.1],
        ),
        loss_mask=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, reduction='mean', loss_weight=5.0),
        loss_dice=dict(
            type='mmdet.DiceLoss',
            use_sigmoid=True,
            activate=True,
            reduction='mean',
            naive_dice=True,
            eps=1.0,
            loss_weight=5.0,
        ),
        train_cfg=dict(
            num_points=12544,
            oversample_ratio=3.0,
            importance_sample_ratio=0.75,
            assigner=dict(
                type='mmdet.HungarianAssigner',
                match_costs=[
                    dict(type='mmdet.ClassificationCost', weight=2.0),
                    dict(type='mmdet.CrossEntropyLossCost', weight=5.0, use_sigmoid=True),
                    dict(type='mmdet.DiceCost', weight=5.0, pred_act=True, eps=1.0),
                ],
            ),
            sampler=dict(type='mmdet.MaskPseudoSampler'),
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(896, 896), stride=(512, 512)),
)
