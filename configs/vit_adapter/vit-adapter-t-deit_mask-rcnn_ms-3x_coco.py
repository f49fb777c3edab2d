_base_ = './vit-adapter-s-deit_mask-rcnn_ms-3x_coco.py'

model = dict(
    backbone=dict(
        vit=dict(
            arch='tiny',
            drop_path_rate=0.1,
            init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth'),
        ),
    ),
    neck=dict(in_channels=[192, 192, 192, 192]),
)
