# MAE (facebookresearch/mae): an encoder alone, or with its decoder ('full'). Of ViT-H, patches of 14 pixels, or of 16 as
# resized for ViTDet.
mae = dict(
    pixels=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    base='https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth',
    large='https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_large.pth',
    huge='https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_huge.pth',
    huge_patch16='https://dl.fbaipublicfiles.com/detectron2/ImageNetPretrained/MAE/mae_pretrain_vit_huge_p14to16.pth',
    base_full='https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base_full.pth',
    large_full='https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_large_full.pth',
)
