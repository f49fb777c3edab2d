# ADE20K with the augmentation of EoMT (tue-mps/eomt datasets/transforms.py): colours, flip, scale by 0.5 to 2.0 of the largest
# that fits 512 x 512, black padding, crop; drawn again where no label is left. Tested with a short side of 512.
_base_ = './ade20k-512.py'

crop_size = (512, 512)
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
    # The short side becomes 512, however long the other is.
    dict(type='Resize', scale=(102400, 512), keep_ratio=True, backend=backend),
    # The ground truth stays at its own size, so it is loaded after the resize.
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
