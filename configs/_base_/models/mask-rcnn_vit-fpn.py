# Mask R-CNN of the detection-transfer study (arXiv 2111.11429): ViT-B with windows of 14 tokens and the last block of each
# quarter global, one table of relative positions for all windows and one for all global blocks beside the absolute
# positions, FPN on the maps of the global blocks, batch norms in FPN and heads, RPN with two convolutions.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    # Every image is padded to multiples of this after normalisation, in training and in testing: to 1024 x 1024.
    data_preprocessor=dict(pad_size_divisor=1024),
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        arch='base',
        img_size=1024,
        out_indices=(2, 5, 8, 11),
        window_size=14,
        rel_pos='bias_shared',
        rel_pos_at='window',
        drop_path_rate=0.1,
    ),
    neck=[
        dict(type='mmvitdense.ViTFPN', in_channels=768),
        dict(type='FPN', in_channels=[768, 768, 768, 768], out_channels=256, num_outs=5, norm_cfg=norm_cfg),
    ],
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
    train_cfg=dict(rcnn=dict(assigner=dict(match_low_quality=False))),
)
