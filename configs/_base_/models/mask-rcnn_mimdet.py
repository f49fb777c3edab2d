# Mask R-CNN of MIMDet (arXiv 2204.02964; hustvl/MIMDet configs/mimdet): ViT-B with a convolutional stem, half of the tokens in
# training and all in testing, FPN and heads with batch norms over all GPUs, RPN with two convolutions.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='mmvitdense.SizeAwareMaskRCNN',
    backbone=dict(
        _delete_=True,
        type='mmvitdense.MIMDet',
        # The position tables have the grid of images of 800 x 800.
        vit=dict(arch='base', pretrain_img_size=800, drop_path_rate=0.1),
        sample_ratio=0.5,
        with_cp=True,
    ),
    neck=dict(in_channels=[192, 384, 512, 512], norm_cfg=norm_cfg),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
    train_cfg=dict(
        # The best anchors of an object are positive however little they overlap it, but not those that do not at all.
        rpn=dict(assigner=dict(min_pos_iou=1e-6)),
        rcnn=dict(assigner=dict(match_low_quality=False)),
    ),
)
