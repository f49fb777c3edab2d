_base_ = [
    '../_base_/models/setr-pup_vit.py',
    '../_base_/datasets/ade20k-512.py',
    '../_base_/schedules/setr_160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/tta_segmentation.py',
    '../_base_/pretrainings/augreg.py',
]

model = dict(backbone=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.augreg.base_384)))
