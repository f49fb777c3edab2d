# NAF with the maps of a frozen DINOv3 ViT-B/16 on images alone, as in the released code: the normed output of the last block.
model = dict(
    type='mmvitdense.NAFPretraining',
    data_preprocessor=dict(
        type='mmengine.ImgDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    backbone=dict(
        type='mmvitdense.LiftedViT',
        vit=dict(preset='dinov3-base', img_size=512, patch_size=16, frozen_stages='all'),
        lift=dict(type='mmvitdense.NAF'),
        norm=True,
        frozen_lift=False,
    ),
)
