# The ViT is frozen but for the last block of each quarter, without windows; what is frozen stays out of the checkpoints.
_base_ = ['./vit-hook-b-deit_mask-rcnn_1x_coco.py', '../_base_/pretrainings/dinov2.py']

model = dict(
    data_preprocessor=_base_.dinov2.pixels,
    backbone=dict(
        vit=dict(
            window_size=0,
            global_blocks=None,
            pretrain_img_size=592,
            drop_path_rate=0.0,
            frozen_stages='all',
            tuned_blocks=(2, 5, 8, 11),
            init_cfg=dict(checkpoint=_base_.dinov2.base, patch_resize='bilinear', allow=['pos_resize']),
        ),
        drop_path_rate=0.3,
    ),
)
optim_wrapper = dict(
    constructor='mmvitdense.LearningRateOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, lr_mults={'backbone.vit.blocks': 0.1}),
)
custom_hooks = [dict(type='mmvitdense.TrainedWeightsHook')]
