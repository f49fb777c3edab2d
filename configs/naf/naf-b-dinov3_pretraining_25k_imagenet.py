# The released recipe. One NAF serves every ViT, so that there need be no other.
_base_ = [
    '../_base_/models/naf-pretraining.py',
    '../_base_/datasets/imagenet_naf-512.py',
    '../_base_/schedules/naf_25k-imagenet.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/dinov3.py',
]

checkpoint = _base_.dinov3.base
model = dict(backbone=dict(vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=checkpoint))))
default_hooks = dict(checkpoint=dict(interval=6250))
