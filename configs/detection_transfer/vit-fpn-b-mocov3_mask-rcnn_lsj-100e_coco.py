_base_ = './vit-fpn-b-mae_mask-rcnn_lsj-100e_coco.py'

model = dict(
    backbone=dict(
        init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/moco-v3/vit-b-300ep/vit-b-300ep.pth.tar'),
    ),
)
optim_wrapper = dict(optimizer=dict(lr=1.6e-4))
