# Mask R-CNN on a pyramid of the doubled map of a frozen trunk, that of vit-tiny_linear_shapes.py.
_base_ = ['../quickstart/vitdet-tiny_mask-rcnn_shapes.py']

trunk = 'work_dirs/vit-tiny_linear_shapes/iter_1400.pth'
lift = 'work_dirs/lift-tiny_pretraining_shapes/iter_1200.pth'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.LiftedViT',
        vit=dict(
            embed_dims=96,
            num_layers=4,
            num_heads=3,
            img_size=128,
            pretrain_img_size=128,
            patch_size=16,
            pos_embed_cls_slot=False,
            final_norm='last',
            frozen_stages='all',
            init_cfg=dict(type='ViTPretrained', checkpoint=trunk),
        ),
        lift=dict(init_cfg=dict(type='LiFTPretrained', checkpoint=lift)),
        norm=True,
    ),
)
