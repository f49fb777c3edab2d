_base_ = [
    '../_base_/models/dino_vitdet.py',
    '../_base_/models/vitdet-tiny.py',
    '../_base_/datasets/shapes_boxes.py',
    '../_base_/schedules/shapes_600.py',
    '../_base_/runtime_detection.py',
]

channels = _base_.tiny_channels
ffn_cfg = dict(embed_dims=channels, feedforward_channels=256)
model = dict(
    num_queries=30,
    data_preprocessor=dict(pad_size_divisor=128),
    backbone=_base_.tiny_vit,
    neck=_base_.tiny_pyramid,
    encoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=dict(embed_dims=channels), ffn_cfg=ffn_cfg)),
    decoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=channels),
            cross_attn_cfg=dict(embed_dims=channels),
            ffn_cfg=ffn_cfg,
        ),
    ),
    positional_encoding=dict(num_feats=32),
    bbox_head=dict(num_classes=5, embed_dims=channels),
    dn_cfg=dict(group_cfg=dict(num_dn_queries=20)),
    test_cfg=dict(max_per_img=30),
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters), logger=dict(interval=50))
