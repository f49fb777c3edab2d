# The Mask R-CNN of ViT-Adapter-S without masks, for data with boxes alone.
_base_ = [
    '../_base_/models/mask-rcnn_vit-adapter.py',
    '../_base_/datasets/coco_detection_ms.py',
    '../_base_/schedules/adamw_coco-3x.py',
    '../_base_/runtime_detection_epochs.py',
    '../_base_/pretrainings/deit.py',
]

model = dict(
    type='FasterRCNN',
    backbone=dict(
        vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.deit.small, known=['act', 'pos_resize']))
    ),
    roi_head=dict(mask_head=None, mask_roi_extractor=None),
)
