# Mask R-CNN of ViTDet (arXiv 2203.16527; detectron2 projects/ViTDet/configs/common): ViT-B with windows of 14 tokens and
# four global blocks, simple pyramid, RPN with two convolutions, box and mask heads with channel norms.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

norm_cfg = dict(type='mmvitdense.LayerNorm2d', eps=1e-6)
model = dict(
    # Every image is padded to multiples of this after normalisation, in training and in testing: to 1024 x 1024.
    data_preprocessor=dict(pad_size_divisor=1024),
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        arch='base',
        img_size=1024,
        pretrain_img_size=224,
        pos_embed_cls_slot=True,
        window_size=14,
        rel_pos='decomposed',
        drop_path_rate=0.1,
    ),
    neck=dict(_delete_=True, type='mmvitdense.SimpleFeaturePyramid', in_channels=768, num_outs=5),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(
            type='Shared4Conv1FCBBoxHead',
            conv_out_channels=256,
            norm_cfg=norm_cfg,
            init_cfg=[
                dict(type='Normal', std=0.01, override=dict(name='fc_cls')),
                dict(type='Normal', std=0.001, override=dict(name='fc_reg')),
                dict(type='Caffe2Xavier', override=dict(name='shared_fcs')),
            ],
        ),
        mask_head=dict(type='mmvitdense.Detectron2MaskHead', norm_cfg=norm_cfg),
    ),
    train_cfg=dict(
        # Every object has the anchors that overlap it most, however little; with 0 one that none overlaps would have all.
        rpn=dict(assigner=dict(min_pos_iou=1e-6)),
        rcnn=dict(assigner=dict(match_low_quality=False)),
    ),
)
