# ADE20K panoptic with the augmentation of kMaX-DeepLab: scale by 0.5 to 2.0 of the largest that fits 1281 x 1281, colours, crop,
# flip; then all things and some of the stuff of a second image, of half the scale, are pasted. The model pads to 1281 x 1281 after normalisation. Tested at the largest size that fits.
_base_ = './ade20k_panoptic_jitter-640.py'

backend_args = None
image_size = (1281, 1281)
loading = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='LoadPanopticAnnotations', backend_args=backend_args),
]
drawn = [
    dict(type='PhotoMetricDistortion'),
    dict(
        type='RandomCrop',
        crop_type='absolute',
        crop_size=image_size,
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type='RandomFlip', prob=0.5),
]
train_pipeline = [
    dict(type='RandomResize', scale=image_size, ratio_range=(0.5, 2.0), keep_ratio=True),
    *drawn,
    dict(
        type='mmvitdense.PanopticCopyPaste',
        transforms=[
            dict(type='RandomResize', scale=image_size, ratio_range=(0.25, 1.0), keep_ratio=True),
            *drawn,
        ],
        num_things_classes=100,
    ),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='LoadPanopticAnnotations', backend_args=backend_args),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MultiImageMixDataset',
        dataset=dict(
            type='ADE20KPanopticDataset',
            data_root='data/ADEChallengeData2016/',
            ann_file='ade20k_panoptic_train.json',
            data_prefix=dict(img='images/training/', seg='ade20k_panoptic_train/'),
            filter_cfg=dict(filter_empty_gt=True, min_size=0),
            pipeline=loading,
        ),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
