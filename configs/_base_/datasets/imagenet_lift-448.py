# The images of ImageNet-1k, without labels: any folder with images, those in folders below it included.
data_root = 'data/imagenet/'
image_size = (448, 448)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    # Not in proportion, as the released code does.
    dict(type='Resize', scale=image_size, keep_ratio=False),
    dict(type='mmvitdense.ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.2, probability=1.0),
    dict(type='mmvitdense.PackImage'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_size, keep_ratio=False),
    dict(type='mmvitdense.PackImage'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmvitdense.ImageFolder',
        data_root=data_root,
        data_prefix=dict(img_path='train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmvitdense.ImageFolder',
        data_root=data_root,
        data_prefix=dict(img_path='val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mmvitdense.LiftMetric')
test_evaluator = val_evaluator
