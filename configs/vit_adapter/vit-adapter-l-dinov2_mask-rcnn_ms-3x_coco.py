# Patches of 14 pixels are resized to 16 bilinearly, the table of positions stays 37 x 37, as published.
# The published config scales pixels to -1 to 1 although DINOv2 was trained with the statistics of ImageNet.
_base_ = './vit-adapter-s-deit_mask-rcnn_ms-3x_coco.py'

model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        vit=dict(
            arch='large',
            pretrain_img_size=592,
            drop_path_rate=0.4,
            init_cfg=dict(
                checkpoint='https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth',
                patch_resize='bilinear',
            ),
        ),
        deform_num_heads=16,
        deform_ratio=0.5,
    ),
    neck=dict(in_channels=[1024, 1024, 1024, 1024]),
)
optim_wrapper = dict(
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.65, flat_decay_mult=0.0),
)
