_base_ = [
    '../_base_/models/iml-vit.py',
    '../_base_/datasets/manipulations-1024.py',
    '../_base_/schedules/iml-vit_200e.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/mae.py',
]

model = dict(backbone=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base)))
default_hooks = dict(
    logger=dict(log_metric_by_epoch=True),
    checkpoint=dict(by_epoch=True, interval=4, save_best='manipulation/F1', rule='greater'),
)
log_processor = dict(by_epoch=True)
