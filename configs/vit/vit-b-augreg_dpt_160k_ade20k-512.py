_base_ = [
    '../_base_/models/dpt_vit.py',
    '../_base_/datasets/ade20k-512.py',
    '../_base_/schedules/adamw_160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/tta_segmentation.py',
    '../_base_/pretrainings/augreg.py',
]

model = dict(backbone=dict(vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.augreg.base_384))))
