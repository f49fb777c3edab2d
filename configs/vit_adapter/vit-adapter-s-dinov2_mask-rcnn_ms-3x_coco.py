# As published, patches of 14 pixels are resized to 16 bilinearly, and the table of positions stays 37 x 37 and follows the
# image by its size, not by DINOv2's scale.
_base_ = ['./vit-adapter-s-deit_mask-rcnn_ms-3x_coco.py', '../_base_/pretrainings/dinov2.py']

model = dict(
    data_preprocessor=_base_.dinov2.pixels,
    backbone=dict(
        vit=dict(
            pretrain_img_size=592,
            init_cfg=dict(checkpoint=_base_.dinov2.small, patch_resize='bilinear', allow=['pos_resize']),
        )
    ),
)
optim_wrapper = dict(
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.7, flat_decay_mult=0.0),
)
