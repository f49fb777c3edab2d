# The image encoder of SAM (facebookresearch/segment-anything).
sam = dict(
    pixels=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    base='https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth',
)
