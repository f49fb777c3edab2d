# COCO panoptic with the augmentation of kMaX-DeepLab: scale by 0.2 to 2.0 of the largest that fits 1281 x 1281, colours, crop, flip; then all
# things and some of the stuff of a second image, of half the scale, are pasted.
# The model pads to 1281 x 1281 after normalisation. Tested at the largest size that fits.
_base_ = './coco_panoptic_lsj-1024.py'

image_size = (1281, 1281)
loading = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadPanopticAnnotations'),
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
    dict(type='RandomResize', scale=image_size, ratio_range=(0.2, 2.0), keep_ratio=True),
    *drawn,
    dict(
        type='mmvitdense.PanopticCopyPaste',
        transforms=[
            dict(type='RandomResize', scale=image_size, ratio_range=(0.1, 1.0), keep_ratio=True),
            *drawn,
        ],
        num_things_classes=80,
    ),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='LoadPanopticAnnotations'),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MultiImageMixDataset',
        dataset=dict(
            type='CocoPanopticDataset',
            data_root='data/coco/',
            ann_file='annotations/panoptic_train2017.json',
            data_prefix=dict(img='train2017/', seg='annotations/panoptic_train2017/'),
            filter_cfg=dict(filter_empty_gt=True, min_size=0),
            pipeline=loading,
        ),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
