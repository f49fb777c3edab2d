# ADE20K panoptic at 1280 x 1280.
_base_ = './ade20k_panoptic_jitter-640.py'

backend_args = None
image_size = (1280, 1280)
# Pillow smooths when it shrinks an image.
backend = 'pillow'
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='LoadPanopticAnnotations', backend_args=backend_args),
    dict(type='mmvitdense.ByteSegMap'),
    dict(
        type='mmvitdense.Redraw',
        transforms=[
            dict(type='mmvitdense.ColorJitter'),
            dict(type='RandomFlip', prob=0.5),
            dict(type='RandomResize', scale=image_size, ratio_range=(0.1, 2.0), keep_ratio=True, backend=backend),
            dict(
                type='RandomCrop',
                crop_type='absolute',
                crop_size=image_size,
                recompute_bbox=True,
                allow_negative_crop=True,
            ),
        ],
    ),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='Resize', scale=image_size, keep_ratio=True, backend=backend),
    dict(type='LoadPanopticAnnotations', backend_args=backend_args),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
