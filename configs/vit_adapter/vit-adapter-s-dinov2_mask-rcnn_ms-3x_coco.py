# Patches of 14 pixels are resized to 16 bilinearly, the table of positions stays 37 x 37, as published.
_base_ = ['./vit-adapter-s-deit_mask-rcnn_ms-3x_coco.py', '../_base_/pretrainings/dinov2.py']

model = dict(
    data_preprocessor=_base_.dinov2.pixels,
    backbone=dict(
        vit=dict(pretrain_img_size=592, init_cfg=dict(checkpoint=_base_.dinov2.small, patch_resize='bilinear'))
    ),
)
optim_wrapper = dict(
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.7, flat_decay_mult=0.0),
)
