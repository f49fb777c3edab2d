# DeiT III (facebookresearch/deit), trained on ImageNet-21k.
deit3 = dict(
    pixels=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    base='https://dl.fbaipublicfiles.com/deit/deit_3_base_224_21k.pth',
)
