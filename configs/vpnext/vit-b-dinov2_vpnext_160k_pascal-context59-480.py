_base_ = [
    '../_base_/models/vpnext_vit.py',
    '../_base_/datasets/pascal-context59-480.py',
    '../_base_/schedules/vit_160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/tta_segmentation.py',
    '../_base_/pretrainings/dinov2.py',
]

model = dict(
    data_preprocessor=dict(size=(480, 480)),
    backbone=dict(vit=dict(img_size=480, init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.base))),
    decode_head=dict(num_classes=59),
    auxiliary_head=dict(num_classes=59),
    test_cfg=dict(crop_size=(480, 480), stride=(320, 320)),
)
