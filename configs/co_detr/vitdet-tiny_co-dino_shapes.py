_base_ = [
    '../_base_/models/co-dino_vitdet.py',
    '../_base_/models/vitdet-tiny.py',
    '../_base_/datasets/shapes_boxes.py',
    '../_base_/schedules/shapes_600.py',
    '../_base_/runtime_detection.py',
]

channels = _base_.tiny_channels
# Two layers of the decoder, the rest as published.
co_weight = 2 * 2.0
ffn_cfg = dict(embed_dims=channels, feedforward_channels=256)
strides = [4, 8, 16, 32]
model = dict(
    num_queries=30,
    num_feature_levels=4,
    data_preprocessor=dict(pad_size_divisor=128),
    backbone=_base_.tiny_vit,
    neck=_base_.tiny_pyramid,
    encoder=dict(
        num_layers=2, num_cp=0, layer_cfg=dict(self_attn_cfg=dict(embed_dims=channels, num_levels=4), ffn_cfg=ffn_cfg)
    ),
    decoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=channels),
            cross_attn_cfg=dict(embed_dims=channels, num_levels=4),
            ffn_cfg=ffn_cfg,
        ),
    ),
    positional_encoding=dict(num_feats=32),
    bbox_head=dict(num_classes=5, embed_dims=channels),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(strides=[*strides, 64]),
        loss_cls=dict(loss_weight=co_weight),
        loss_bbox=dict(loss_weight=co_weight),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels, featmap_strides=strides),
        bbox_head=dict(
            in_channels=channels,
            fc_out_channels=128,
            num_classes=5,
            loss_cls=dict(loss_weight=co_weight),
            loss_bbox=dict(loss_weight=10 * co_weight),
        ),
    ),
    dense_head=dict(
        num_classes=5,
        in_channels=channels,
        feat_channels=channels,
        anchor_generator=dict(strides=[*strides, 64]),
        loss_cls=dict(loss_weight=co_weight),
        loss_bbox=dict(loss_weight=2 * co_weight),
        loss_centerness=dict(loss_weight=co_weight),
    ),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=20)),
    train_cfg=dict(rpn_proposal=dict(nms_pre=500, max_per_img=200), rcnn=dict(sampler=dict(num=128))),
    test_cfg=dict(max_per_img=30),
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters), logger=dict(interval=50))
