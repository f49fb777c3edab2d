_base_ = [
    '../_base_/models/cascade-mask-rcnn_mimdet.py',
    '../_base_/datasets/coco_instance_crop-800.py',
    '../_base_/schedules/mimdet_3x.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/mae.py',
]

model = dict(backbone=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base_full)))
