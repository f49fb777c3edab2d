# Mask R-CNN on ViT-Hook-B, whose hooks in the detection code have self-attention alone.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.ViTHook',
        vit=dict(
            arch='base',
            pretrain_img_size=224,
            pos_embed_cls_slot=True,
            window_size=14,
            global_blocks=(2, 5, 8, 11),
            window_pad='qkv',
            layer_scale_init=1.0,
            pos_resize=dict(antialias=True),
            drop_path_rate=0.3,
        ),
        cross_attention=None,
        deform_num_heads=12,
        norm_cfg=dict(type='SyncBN'),
    ),
    neck=dict(in_channels=[768, 768, 768, 768]),
)
