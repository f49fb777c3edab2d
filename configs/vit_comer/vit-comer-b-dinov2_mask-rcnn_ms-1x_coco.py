# Patches of 14 pixels are resized to 16 bilinearly, the table of positions stays 37 x 37, as published.
_base_ = './vit-comer-s-deit_mask-rcnn_ms-1x_coco.py'

model = dict(
    backbone=dict(
        vit=dict(
            arch='base',
            pretrain_img_size=592,
            drop_path_rate=0.3,
            init_cfg=dict(
                checkpoint='https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth',
                patch_resize='bilinear',
            ),
        ),
        deform_num_heads=12,
        deform_ratio=0.5,
    ),
    neck=dict(in_channels=[768, 768, 768, 768]),
)
optim_wrapper = dict(
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.6, flat_decay_mult=0.0),
)
