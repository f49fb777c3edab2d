# A linear head on the doubled map of a frozen DINOv3 ViT-S: of 64 x 64 places instead of 32 x 32. The weights of LiFT are
# those that lift-s-dinov3_pretraining_5e_imagenet.py makes.
_base_ = '../dinov3/vit-s-dinov3_linear_40k_ade20k-512.py'

lift = 'work_dirs/lift-s-dinov3_pretraining_5e_imagenet/iter_25024.pth'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.LiftedViT',
        vit=dict(
            preset='dinov3-small',
            frozen_stages='all',
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.small),
        ),
        lift=dict(init_cfg=dict(type='LiFTPretrained', checkpoint=lift)),
        norm=True,
    ),
)
