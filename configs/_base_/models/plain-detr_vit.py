# Plain-DETR on a frozen ViT at width 256, patches of 16 pixels: as DINOv3 has it (dinov3/eval/detection), with the width, the
# queries and the losses of Plain-DETR (configs/swinv2_small_mim_pt_boxrpe_reparam.sh of impiga/Plain-DETR). A config gives the
# preset of the ViT and the channels that the neck gets: those of four maps, twice as many with windows.
plain_detr_attention = dict(embed_dims=256, num_heads=8)
model = dict(
    type='mmvitdense.PlainDETR',
    num_queries=300,
    num_one2many=1500,
    stride=16,
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=16,
    ),
    backbone=dict(type='mmvitdense.WindowedTaps', vit=dict(preset='dinov3-small', frozen_stages='all')),
    neck=dict(
        type='ChannelMapper',
        in_channels=[1536],
        out_channels=256,
        kernel_size=1,
        bias=True,
        norm_cfg=dict(type='GN', num_groups=32),
        act_cfg=None,
    ),
    encoder=dict(
        num_layers=6,
        layer_cfg=dict(
            self_attn_cfg=dict(proj_drop=0.1, **plain_detr_attention),
            ffn_cfg=dict(embed_dims=256, feedforward_channels=2048, ffn_drop=0.1),
        ),
    ),
    decoder=dict(
        num_layers=6,
        layer_cfg=dict(
            self_attn_cfg=plain_detr_attention,
            cross_attn_cfg=dict(hidden_dims=512, **plain_detr_attention),
            ffn_cfg=dict(embed_dims=256, feedforward_channels=2048, ffn_drop=0.0),
        ),
    ),
    proposals=dict(factors=(0.5, 1, 2, 4), min_size=50),
    bbox_head=dict(
        type='mmvitdense.PlainDETRHead',
        num_classes=80,
        embed_dims=256,
        num_repeats=6,
        one2many_weight=1.0,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0),
        loss_iou=dict(type='GIoULoss', loss_weight=2.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='FocalLossCost', weight=2.0, eps=1e-8),
                dict(type='mmvitdense.BoxDeltaL1Cost', weight=1.0),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=300),
)
