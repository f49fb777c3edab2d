# A ViT trained together with the rest, from nothing, on maps of stride 8.
_base_ = [
    '../_base_/models/plain-detr_vit.py',
    '../_base_/models/vitdet-tiny.py',
    '../_base_/datasets/shapes_boxes.py',
    '../_base_/schedules/shapes_600.py',
    '../_base_/runtime_detection.py',
]

channels = _base_.tiny_channels
attention = dict(embed_dims=channels)
ffn = dict(embed_dims=channels, feedforward_channels=256, ffn_drop=0.0)
model = dict(
    num_queries=30,
    num_one2many=60,
    stride=8,
    backbone=dict(vit=dict(_delete_=True, final_norm='all', **_base_.tiny_vit)),
    neck=dict(in_channels=[384], out_channels=channels),
    encoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=dict(proj_drop=0.0, **attention), ffn_cfg=ffn)),
    decoder=dict(
        num_layers=2,
        layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=dict(hidden_dims=64, **attention), ffn_cfg=ffn),
    ),
    proposals=dict(min_size=12),
    bbox_head=dict(num_classes=5, embed_dims=channels),
    test_cfg=dict(max_per_img=30),
)
train_dataloader = dict(batch_size=4)
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters), logger=dict(interval=50))
