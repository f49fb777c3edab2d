# No head is published for Cityscapes: the crop is that of our other configs.
_base_ = [
    '../_base_/models/linear_vit-taps.py',
    '../_base_/datasets/cityscapes-768.py',
    '../_base_/schedules/linear-head_40k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/dinov2.py',
]

model = dict(
    data_preprocessor=dict(size=(768, 768)),
    backbone=dict(vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.small))),
    decode_head=dict(num_classes=19),
    test_cfg=dict(crop_size=(768, 768), stride=(512, 512)),
)
