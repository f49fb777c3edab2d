# COCO instances with the augmentation of EoMT (tue-mps/eomt datasets/transforms.py): flip, scale by 0.1 to 2.0 of the
# largest that fits 640 x 640, crop; drawn again where nothing of the annotation is left. The model pads with black. Tested
# at the largest size that fits.
_base_ = 'mmdet::_base_/datasets/coco_instance.py'

backend_args = None
image_size = (640, 640)
# Pillow smooths when it shrinks an image.
backend = 'pillow'
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='mmvitdense.Redraw',
        transforms=[
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
    # Masks without a pixel are no objects.
    dict(type='FilterAnnotations', by_box=False, by_mask=True, keep_empty=False),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='Resize', scale=image_size, keep_ratio=True, backend=backend),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
    batch_sampler=None,
    dataset=dict(filter_cfg=dict(filter_empty_gt=True, min_size=0), pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
