# DFC2020 as Copernicus-Bench has it: the 13 bands of Sentinel-2, stretched as SoftCon has them, 8 classes, images of
# 256 x 256 resized to 224 x 224.
_base_ = '../pretrainings/softcon.py'

dataset_type = 'mmvitdense.DFC2020Dataset'
data_root = 'data/dfc2020_s1s2'
classes = ('forest', 'shrubland', 'grassland', 'wetland', 'cropland', 'urban', 'barren', 'water')
train_pipeline = [
    dict(type='mmvitdense.LoadBands'),
    dict(type='mmvitdense.StretchBands', **_base_.softcon.bands_s2),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='mmvitdense.RandomQuarterTurn', prob=1.0),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='mmvitdense.LoadBands'),
    dict(type='mmvitdense.StretchBands', **_base_.softcon.bands_s2),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    # The ground truth stays at its own size, so it is loaded after the resize.
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
dfc2020 = dict(
    type=dataset_type,
    data_root=data_root,
    data_prefix=dict(img_path='s2', seg_map_path='dfc'),
    # An image is named as its label map, with this part in the place of the other.
    name_parts=dict(img_path='s2', seg_map_path='dfc'),
    img_suffix='',
    seg_map_suffix='',
    metainfo=dict(classes=classes),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(**dfc2020, ann_file='dfc-train-new.csv', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dfc2020, ann_file='dfc-val-new.csv', pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dfc2020, ann_file='dfc-test-new.csv', pipeline=test_pipeline),
)
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
