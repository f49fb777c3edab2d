_base_ = [
    '../_base_/models/vpnext_vit.py',
    '../_base_/datasets/cityscapes-768.py',
    '../_base_/schedules/vit_160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/tta_segmentation.py',
    '../_base_/pretrainings/dinov2.py',
]

model = dict(
    data_preprocessor=dict(size=(768, 768)),
    backbone=dict(vit=dict(img_size=768, init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.base))),
    decode_head=dict(num_classes=19),
    auxiliary_head=dict(num_classes=19),
    test_cfg=dict(crop_size=(768, 768), stride=(512, 512)),
)
