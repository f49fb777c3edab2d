_base_ = [
    '../_base_/models/mask2former_vitdet.py',
    '../_base_/datasets/coco_panoptic_lsj-1024.py',
    '../_base_/schedules/vitdet-queries_50e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/mae.py',
]

model = dict(backbone=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base)))
