# LiFT for a frozen ViT-S/16 of DINO, trained on images alone: the keys of the last block, as in the released code.
model = dict(
    type='mmvitdense.LiFTPretraining',
    data_preprocessor=dict(
        type='mmengine.ImgDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
    ),
    backbone=dict(
        type='mmvitdense.LiftedViT',
        vit=dict(preset='dino-small', img_size=448, patch_size=16, frozen_stages='all'),
        facet='key',
        frozen_lift=False,
    ),
    loss='cosine',
)
