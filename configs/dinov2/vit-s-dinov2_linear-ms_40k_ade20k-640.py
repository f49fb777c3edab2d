# The maps of the last four blocks, from larger images.
_base_ = [
    '../_base_/models/linear_vit-taps.py',
    '../_base_/datasets/ade20k-640_enlarged.py',
    '../_base_/schedules/linear-head_40k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/dinov2.py',
]

model = dict(
    data_preprocessor=dict(size=(640, 640)),
    backbone=dict(
        vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.small)), out_indices=(-4, -3, -2, -1)
    ),
    decode_head=dict(in_channels=[384] * 4),
    test_cfg=dict(crop_size=(640, 640), stride=(320, 320)),
)
