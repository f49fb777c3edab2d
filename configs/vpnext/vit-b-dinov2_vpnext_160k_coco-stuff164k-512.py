_base_ = [
    '../_base_/models/vpnext_vit.py',
    '../_base_/datasets/coco_stuff164k-512.py',
    '../_base_/schedules/vit_160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/tta_segmentation.py',
    '../_base_/pretrainings/dinov2.py',
]

model = dict(
    backbone=dict(vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.base))),
    decode_head=dict(num_classes=171),
    auxiliary_head=dict(num_classes=171),
)
