_base_ = [
    '../_base_/models/setr-pup_vit.py',
    '../_base_/datasets/cityscapes-768.py',
    '../_base_/schedules/setr_80k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/tta_segmentation.py',
    '../_base_/pretrainings/augreg.py',
]

auxiliary = dict(
    type='SETRUPHead',
    in_channels=1024,
    channels=256,
    num_classes=19,
    dropout_ratio=0,
    norm_cfg=dict(type='SyncBN', requires_grad=True),
    num_convs=2,
    up_scale=4,
    kernel_size=3,
    align_corners=False,
    loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4),
)
model = dict(
    data_preprocessor=dict(size=(768, 768)),
    backbone=dict(
        arch='large',
        img_size=768,
        out_indices=(9, 14, 19, 23),
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.augreg.large_384),
    ),
    decode_head=dict(in_channels=1024, num_classes=19),
    auxiliary_head=[dict(**auxiliary, in_index=index) for index in range(3)],
    test_cfg=dict(crop_size=(768, 768), stride=(512, 512)),
)
train_dataloader = dict(batch_size=1)
