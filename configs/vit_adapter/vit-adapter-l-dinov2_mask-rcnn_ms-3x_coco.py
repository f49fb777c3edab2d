# As published, patches of 14 pixels are resized to 16 bilinearly, and the table of positions stays 37 x 37 and follows the
# image by its size, not by DINOv2's scale.
# The published config scales pixels to -1 to 1 although DINOv2 was trained with the statistics of ImageNet.
_base_ = ['./vit-adapter-l-augreg_mask-rcnn_ms-3x_coco.py', '../_base_/pretrainings/dinov2.py']

model = dict(
    data_preprocessor=_base_.augreg.pixels,
    backbone=dict(
        vit=dict(
            pretrain_img_size=592,
            init_cfg=dict(checkpoint=_base_.dinov2.large, patch_resize='bilinear', allow=['pos_resize']),
        )
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.65))
