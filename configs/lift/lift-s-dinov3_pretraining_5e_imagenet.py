# For DINOv3, on the normed output of the last block, which heads read; the schedule is that of the released recipe.
_base_ = ['./lift-s-dino_pretraining_5e_imagenet.py', '../_base_/pretrainings/dinov3.py']

model = dict(
    backbone=dict(
        vit=dict(preset='dinov3-small', init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.small)),
        facet='token',
        norm=True,
    ),
)
