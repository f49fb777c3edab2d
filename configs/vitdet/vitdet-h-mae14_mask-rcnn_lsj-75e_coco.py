_base_ = './vitdet-h-mae_mask-rcnn_lsj-75e_coco.py'

# MAE's ViT-H as MAE published it, with patches of 14 pixels and positions of 16 x 16 patches: kernels are resized to 16
# pixels when they are loaded, and the positions are kept.
model = dict(
    backbone=dict(
        pretrain_img_size=256,
        init_cfg=dict(checkpoint=_base_.mae.huge),
    ),
)
