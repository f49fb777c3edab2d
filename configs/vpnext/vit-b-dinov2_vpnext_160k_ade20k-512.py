# Patches of 14 pixels are resized to 16 as the weights load, so that the smaller strides are whole numbers.
_base_ = [
    '../_base_/models/vpnext_vit.py',
    '../_base_/datasets/ade20k-512.py',
    '../_base_/schedules/vit_160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/tta_segmentation.py',
    '../_base_/pretrainings/dinov2.py',
]

model = dict(backbone=dict(vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.base))))
