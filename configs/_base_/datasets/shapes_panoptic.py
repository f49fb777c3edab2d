# The built-in shapes as COCO panoptic segments (tools/make_shapes.py): the shapes are things, the background is stuff.
_base_ = './shapes_detection.py'

dataset_type = 'CocoPanopticDataset'
data_root = 'data/shapes/'
image_size = (128, 128)
metainfo = dict(
    classes=('circle', 'square', 'triangle', 'star', 'ring', 'background'),
    thing_classes=('circle', 'square', 'triangle', 'star', 'ring'),
    stuff_classes=('background',),
    palette=[(220, 60, 60), (60, 140, 220), (70, 180, 90), (240, 190, 40), (160, 90, 200), (60, 60, 60)],
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadPanopticAnnotations'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Resize', scale=image_size, keep_ratio=True),
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
        type=dataset_type,
        metainfo=metainfo,
        ann_file='annotations/panoptic_training.json',
        data_prefix=dict(seg='annotations/panoptic_training/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        ann_file='annotations/panoptic_validation.json',
        data_prefix=dict(seg='annotations/panoptic_validation/'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type='CocoPanopticMetric',
        ann_file=data_root + 'annotations/panoptic_validation.json',
        seg_prefix=data_root + 'annotations/panoptic_validation/',
    ),
    dict(
        type='CocoMetric',
        ann_file=data_root + 'annotations/instances_validation.json',
        metric=['bbox', 'segm'],
    ),
]
test_evaluator = val_evaluator
