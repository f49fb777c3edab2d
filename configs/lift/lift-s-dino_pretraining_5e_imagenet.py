# The released recipe on 8 GPUs: 32 images on each.
_base_ = [
    '../_base_/models/lift-pretraining.py',
    '../_base_/datasets/imagenet_lift-448.py',
    '../_base_/schedules/lift_5e-imagenet.py',
    '../_base_/runtime_segmentation.py',
]

checkpoint = 'https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth'
model = dict(backbone=dict(vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=checkpoint))))
default_hooks = dict(checkpoint=dict(interval=5005))
