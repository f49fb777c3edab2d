# Faster R-CNN on the ViT and the pyramid of ViTDet, for data with boxes alone.
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'

norm_cfg = dict(type='mmvitdense.LayerNorm2d', eps=1e-6)
model = dict(
    backbone=dict(_delete_=True, type='mmvitdense.PlainViT'),
    neck=dict(_delete_=True, type='mmvitdense.SimpleFeaturePyramid', in_channels=768, num_outs=5),
    rpn_head=dict(num_convs=2),
    roi_head=dict(bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm_cfg)),
)
