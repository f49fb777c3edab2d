_base_ = [
    '../_base_/models/mask-rcnn_vit-adapter.py',
    'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/schedules/adamw_coco-1x.py',
    '../_base_/runtime_detection_epochs.py',
    '../_base_/pretrainings/deit.py',
]

model = dict(
    backbone=dict(
        vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.deit.small, known=['act', 'pos_resize']))
    )
)
