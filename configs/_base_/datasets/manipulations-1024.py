# Tampered images and masks in the folders Tp and Gt, trained and evaluated in one size that they are padded to, never shrunk
# (SunnyHaze/IML-ViT utils/iml_transforms.py). Larger ones are cut in training, and evaluated in windows.
dataset_type = 'mmvitdense.ManipulationDataset'
data_root = 'data/casiav2'
test_root = 'data/casiav1'
size = (1024, 1024)
meta_keys = ('img_path', 'seg_map_path', 'ori_shape', 'img_shape', 'pad_shape', 'padding_size')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmvitdense.LoadManipulationMask'),
    dict(type='mmvitdense.RandomScale', limit=0.2),
    dict(type='mmvitdense.RandomCopyMove', prob=0.1),
    dict(type='mmvitdense.RandomInpaint', prob=0.1),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='mmvitdense.RandomBrightnessContrast', brightness=0.1, contrast=0.1),
    dict(type='mmvitdense.RandomJpeg', quality=(70, 100), prob=0.2),
    dict(type='mmvitdense.RandomQuarterTurn', prob=0.5),
    dict(type='mmvitdense.RandomGaussianBlur', kernel=(3, 7), prob=0.2),
    dict(type='mmvitdense.ManipulationEdge', width=7),
    dict(type='mmvitdense.PadPixels', size=size, crop=True),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmvitdense.PadPixels', size=size),
    dict(type='mmvitdense.LoadManipulationMask'),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, data_root=test_root, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mmvitdense.ManipulationMetric')
test_evaluator = val_evaluator
