_base_ = './vit-fpn-b-mae_mask-rcnn_lsj-100e_coco.py'

model = dict(
    backbone=dict(
        init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_base_patch16_224-b5f2ef4d.pth'),
    ),
)
