# A linear head on the map of a frozen DINOv3 ViT-S at stride 4: 128 x 128 places instead of 32 x 32. The weights of NAF are the
# released ones; those that naf-b-dinov3_pretraining_25k_imagenet.py makes are loaded likewise.
_base_ = '../dinov3/vit-s-dinov3_linear_40k_ade20k-512.py'

naf = 'https://github.com/valeoai/NAF/releases/download/model/naf_release.pth'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.LiftedViT',
        vit=dict(
            preset='dinov3-small',
            frozen_stages='all',
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.small),
        ),
        lift=dict(type='mmvitdense.NAF', init_cfg=dict(type='NAFPretrained', checkpoint=naf)),
        num_iters=2,
        norm=True,
    ),
)
