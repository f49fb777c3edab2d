_base_ = [
    '../_base_/models/cascade-mask-rcnn_mimdet.py',
    '../_base_/datasets/coco_instance_crop-800.py',
    '../_base_/schedules/mimdet_3x.py',
    '../_base_/runtime_detection.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='ViTPretrained',
            checkpoint='https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base_full.pth',
        ),
    ),
)
