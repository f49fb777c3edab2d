# Cityscapes with the augmentation of EoMT (tue-mps/eomt datasets/transforms.py): colours, flip, scale by 0.5 to 2.0 of the largest
# that fits 1024 x 1024, black padding, crop; drawn again where no label is left. Tested with a short side of 1024.
dataset_type = 'CityscapesDataset'
data_root = 'data/cityscapes/'
crop_size = (1024, 1024)
# Pillow smooths when it shrinks an image.
backend = 'pillow'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='mmvitdense.Redraw',
        transforms=[
            dict(type='mmvitdense.ColorJitter'),
            dict(type='RandomFlip', prob=0.5),
            dict(type='RandomResize', scale=crop_size, ratio_range=(0.5, 2.0), keep_ratio=True, backend=backend),
            dict(type='Pad', size=crop_size, pad_val=dict(img=0, seg=255)),
            dict(type='RandomCrop', crop_size=crop_size),
        ],
    ),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    # The short side becomes 1024, however long the other is.
    dict(type='Resize', scale=(204800, 1024), keep_ratio=True, backend=backend),
    # The ground truth stays at its own size, so it is loaded after the resize.
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
