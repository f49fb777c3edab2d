# COCO instances at 1333 x 800 with the augmentation of DETR (arXiv 2005.12872) as hustvl/MIMDet has it (configs/coco.py): every
# second image is cropped between two resizes. Boxes are clipped to the crop, not recomputed from the masks.
_base_ = 'mmdet::_base_/datasets/coco_instance.py'

backend_args = None
# Pillow smooths when it shrinks an image, as detectron2 does.
backend = 'pillow'
scales = [(short, 1333) for short in (480, 512, 544, 576, 608, 640, 736, 768, 800)]
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[
            [dict(type='RandomChoiceResize', scales=scales, keep_ratio=True, backend=backend)],
            [
                dict(
                    type='RandomChoiceResize',
                    # The long side has no bound.
                    scales=[(400, 100000), (500, 100000), (600, 100000)],
                    keep_ratio=True,
                    backend=backend,
                ),
                # An image that lost all its objects to the crop stays, as background.
                dict(type='RandomCrop', crop_type='absolute_range', crop_size=(384, 600), allow_negative_crop=True),
                dict(type='RandomChoiceResize', scales=scales, keep_ratio=True, backend=backend),
            ],
        ],
    ),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True, backend=backend),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=8,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
    dataset=dict(filter_cfg=dict(filter_empty_gt=True, min_size=0), pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
