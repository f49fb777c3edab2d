_base_ = [
    '../_base_/models/upernet_vit.py',
    '../_base_/datasets/pascal-context59-480.py',
    '../_base_/schedules/vit_160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/tta_segmentation.py',
    '../_base_/pretrainings/mae.py',
]

model = dict(
    data_preprocessor=dict(size=(480, 480)),
    backbone=dict(
        with_cls_token=True,
        out_indices=(3, 5, 7, 11),
        img_size=480,
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base),
    ),
    neck=dict(type='Feature2Pyramid', embed_dim=768, rescales=[4, 2, 1, 0.5]),
    decode_head=dict(num_classes=59),
    auxiliary_head=dict(num_classes=59),
    test_cfg=dict(crop_size=(480, 480), stride=(320, 320)),
)
