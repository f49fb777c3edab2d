# ADE20K panoptic with the augmentation of EoMT (tue-mps/eomt datasets/transforms.py): colours, flip, scale by 0.1 to 2.0 of the
# largest that fits 640 x 640, crop; drawn again where nothing of the annotation is left. The model pads with black. Tested
# at the largest size that fits.
# Annotations as prepared for Mask2Former: ade20k_panoptic_train.json with the folder ade20k_panoptic_train, and the same for
# val. Of 150 classes, which interleave in the files, the 100 things come first and the 50 stuff classes after them.
dataset_type = 'ADE20KPanopticDataset'
data_root = 'data/ADEChallengeData2016/'
backend_args = None
image_size = (640, 640)
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
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ade20k_panoptic_train.json',
        data_prefix=dict(img='images/training/', seg='ade20k_panoptic_train/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=0),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='ade20k_panoptic_val.json',
        data_prefix=dict(img='images/validation/', seg='ade20k_panoptic_val/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoPanopticMetric',
    ann_file=data_root + 'ade20k_panoptic_val.json',
    seg_prefix=data_root + 'ade20k_panoptic_val/',
)
test_evaluator = val_evaluator
