# The ViT is frozen but for the blocks 5 and 11, and what is frozen stays out of the checkpoints.
_base_ = ['./vit-hook-b-deit_upernet_160k_ade20k-512.py', '../_base_/pretrainings/dinov2.py']

model = dict(
    data_preprocessor=_base_.dinov2.pixels,
    backbone=dict(
        vit=dict(
            pretrain_img_size=592,
            drop_path_rate=0.0,
            frozen_stages='all',
            tuned_blocks=(5, 11),
            init_cfg=dict(checkpoint=_base_.dinov2.base, patch_resize='bilinear', allow=['pos_resize']),
        )
    ),
)
optim_wrapper = dict(optimizer=dict(lr=6e-5))
custom_hooks = [dict(type='mmvitdense.TrainedWeightsHook')]
