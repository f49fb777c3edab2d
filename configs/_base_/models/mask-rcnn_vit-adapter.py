# Mask R-CNN on ViT-Adapter-S, with windows of 14 tokens and four global blocks.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.ViTAdapter',
        vit=dict(
            arch='small',
            pretrain_img_size=224,
            pos_embed_cls_slot=True,
            window_size=14,
            window_pad='qkv',
            layer_scale_init=1.0,
            drop_path_rate=0.2,
        ),
        norm_cfg=dict(type='SyncBN'),
    ),
    neck=dict(in_channels=[384, 384, 384, 384]),
)
