# DeiT (facebookresearch/deit), trained on ImageNet-1k. Nothing in its files distinguishes them from those of other
# pre-trainings, so that configs have known=['act', 'pos_resize'].
deit = dict(
    pixels=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    tiny='https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth',
    small='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth',
    base='https://dl.fbaipublicfiles.com/deit/deit_base_patch16_224-b5f2ef4d.pth',
)
