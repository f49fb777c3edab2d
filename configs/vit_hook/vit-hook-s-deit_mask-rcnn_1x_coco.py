_base_ = './vit-hook-b-deit_mask-rcnn_1x_coco.py'

model = dict(
    backbone=dict(
        vit=dict(arch='small', drop_path_rate=0.2, init_cfg=dict(checkpoint=_base_.deit.small)),
        deform_num_heads=6,
    ),
    neck=dict(in_channels=[384, 384, 384, 384]),
)
optim_wrapper = dict(optimizer=dict(betas=(0.9, 0.95), weight_decay=0.01))
