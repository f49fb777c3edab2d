# DINO at five scales on ViT-CoMer-L around a BEiT whose blocks all have windows, every sixth of them of 56 tokens.
attention = dict(embed_dims=256, dropout=0.0)
ffn = dict(embed_dims=256, feedforward_channels=2048, ffn_drop=0.0)
model = dict(
    type='mmvitdense.DINO',
    num_queries=900,
    with_box_refine=True,
    as_two_stage=True,
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='mmvitdense.ViTCoMer',
        vit=dict(
            arch='large',
            pretrain_img_size=224,
            pos_embed=None,
            rel_pos='bias',
            rel_pos_at='window',
            qkv_bias='qv',
            layer_scale_init=1e-6,
            window_size=[14, 14, 14, 14, 14, 56] * 4,
            drop_path_rate=0.3,
        ),
        deform_num_heads=16,
        deform_ratio=0.5,
        gamma_init=1e-6,
        norm_cfg=dict(type='SyncBN'),
        with_cp=True,
    ),
    neck=dict(
        type='ChannelMapper',
        in_channels=[1024, 1024, 1024, 1024],
        kernel_size=1,
        out_channels=256,
        act_cfg=None,
        norm_cfg=dict(type='GN', num_groups=32),
        num_outs=5,
    ),
    num_feature_levels=5,
    encoder=dict(num_layers=6, layer_cfg=dict(self_attn_cfg=dict(**attention, num_levels=5), ffn_cfg=ffn)),
    decoder=dict(
        num_layers=6,
        return_intermediate=True,
        layer_cfg=dict(
            self_attn_cfg=dict(**attention, num_heads=8),
            cross_attn_cfg=dict(**attention, num_levels=5),
            ffn_cfg=ffn,
        ),
        post_norm_cfg=None,
    ),
    positional_encoding=dict(num_feats=128, normalize=True, offset=0.0, temperature=20),
    bbox_head=dict(
        type='DINOHead',
        embed_dims=256,
        num_classes=80,
        sync_cls_avg_factor=True,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=5.0),
        loss_iou=dict(type='GIoULoss', loss_weight=2.0),
    ),
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=0.4,
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=500),
    ),
    train_cfg=dict(
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='FocalLossCost', weight=2.0),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=300),
)
