# The images of ImageNet-1k as for LiFT, but the centre of each at 512 x 512.
_base_ = './imagenet_lift-448.py'

image_size = (512, 512)
pipeline = [
    dict(type='LoadImageFromFile'),
    # The shorter side becomes 512.
    dict(type='Resize', scale=(1000000, 512), keep_ratio=True),
    dict(type='CenterCrop', crop_size=image_size),
    dict(type='mmvitdense.PackImage'),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=pipeline))
val_dataloader = dict(batch_size=4, dataset=dict(pipeline=pipeline))
test_dataloader = val_dataloader
