_base_ = [
    '../_base_/models/atss_vitdet.py',
    '../_base_/datasets/coco_detection_lsj-1024.py',
    '../_base_/schedules/vitdet_100e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/mae.py',
]

model = dict(backbone=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base)))
