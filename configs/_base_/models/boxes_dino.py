# DINO (arXiv 2203.03605) in the place of the heads of any Mask R-CNN here, for data with boxes alone:
# `model = dict(_base_.dino, _delete_=True, backbone=_base_.model.backbone, neck=...)` with four levels of strides 8 to 64.
# The head is that of mmdet's dino/dino-4scale_r50_8xb2-12e_coco.py, which comes with data and schedule and so cannot be inherited.
# The class is ours because the decoder of onedl-mmdetection's is not the published one.
dino = dict(
    type='mmvitdense.DINO',
    num_queries=900,
    with_box_refine=True,
    as_two_stage=True,
    num_feature_levels=4,
    encoder=dict(
        num_layers=6,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=256, num_levels=4, dropout=0.0),
            ffn_cfg=dict(embed_dims=256, feedforward_channels=2048, ffn_drop=0.0),
        ),
    ),
    decoder=dict(
        num_layers=6,
        return_intermediate=True,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=256, num_heads=8, dropout=0.0),
            cross_attn_cfg=dict(embed_dims=256, num_levels=4, dropout=0.0),
            ffn_cfg=dict(embed_dims=256, feedforward_channels=2048, ffn_drop=0.0),
        ),
        post_norm_cfg=None,
    ),
    positional_encoding=dict(num_feats=128, normalize=True, offset=0.0, temperature=20),
    bbox_head=dict(
        type='DINOHead',
        num_classes=80,
        embed_dims=256,
        sync_cls_avg_factor=True,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=5.0),
        loss_iou=dict(type='GIoULoss', loss_weight=2.0),
    ),
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=100),
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
# Five levels of strides 4 to 64, from all four maps of an adapter, as ViT-CoMer has it.
five = dict(num_levels=5)
encoder_layer, decoder_layer = dino['encoder']['layer_cfg'], dino['decoder']['layer_cfg']
dino_5scale = dict(
    dino,
    num_feature_levels=5,
    encoder=dict(
        dino['encoder'], layer_cfg=dict(encoder_layer, self_attn_cfg=dict(encoder_layer['self_attn_cfg'], **five))
    ),
    decoder=dict(
        dino['decoder'], layer_cfg=dict(decoder_layer, cross_attn_cfg=dict(decoder_layer['cross_attn_cfg'], **five))
    ),
)
