# The whole ViT is tuned, at a fiftieth of the learning rate of pyramid and heads.
_base_ = [
    '../_base_/models/mask-rcnn_vitdet.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/small-data_1k.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/dinov2.py',
]

vit = dict(
    type='mmvitdense.PlainViT',
    preset='dinov2-small',
    patch_size=16,
    img_size=1024,
    init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov2.small),
)
model = dict(
    data_preprocessor=dict(pad_size_divisor=32, **_base_.dinov2.pixels),
    backbone=dict(_delete_=True, drop_path_rate=0.1, **vit),
    neck=dict(in_channels=384),
)
