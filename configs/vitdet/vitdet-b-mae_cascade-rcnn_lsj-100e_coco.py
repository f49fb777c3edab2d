# ViTDet for boxes alone: the heads of its Cascade Mask R-CNN without the one of masks.
_base_ = [
    '../_base_/models/mask-rcnn_vitdet.py',
    '../_base_/models/cascade_vitdet.py',
    '../_base_/datasets/coco_detection_lsj-1024.py',
    '../_base_/schedules/vitdet_100e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/mae.py',
]

model = dict(
    type='FasterRCNN',
    backbone=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base)),
    roi_head=dict(_base_.cascade, mask_head=None, mask_roi_extractor=None),
)
