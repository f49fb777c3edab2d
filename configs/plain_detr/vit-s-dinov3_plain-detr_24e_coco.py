_base_ = [
    '../_base_/models/plain-detr_vit.py',
    '../_base_/datasets/coco_detection_detr.py',
    '../_base_/schedules/plain-detr_24e.py',
    '../_base_/runtime_detection_epochs.py',
    '../_base_/pretrainings/dinov3.py',
    '../_base_/tta_detection.py',
]

model = dict(backbone=dict(vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.small))))
