_base_ = './mimdet-b-mae_cascade-mask-rcnn_sr050-3x_coco.py'

model = dict(
    backbone=dict(
        vit=dict(arch='large', drop_path_rate=0.4),
        init_cfg=dict(checkpoint=_base_.mae.large_full),
    ),
    neck=dict(in_channels=[256, 512, 512, 512]),
)
optim_wrapper = dict(paramwise_cfg=dict(lr_mults={'backbone.vit': 1 / 3.5, '': 3.5}))
