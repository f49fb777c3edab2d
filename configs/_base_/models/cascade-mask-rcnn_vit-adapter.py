# Cascade Mask R-CNN on ViT-Adapter-S. The box heads have four convolutions and a layer each, and boxes of their own for
# each class.
_base_ = 'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py'

stages = [(0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067)]
bbox_heads = [
    dict(
        type='ConvFCBBoxHead',
        num_shared_convs=4,
        num_shared_fcs=1,
        in_channels=256,
        conv_out_channels=256,
        fc_out_channels=1024,
        roi_feat_size=7,
        num_classes=80,
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=(0.0, 0.0, 0.0, 0.0), target_stds=target_stds),
        reg_class_agnostic=False,
        reg_decoded_bbox=True,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=10.0),
    )
    for target_stds in stages
]
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
    roi_head=dict(bbox_head=bbox_heads),
)
