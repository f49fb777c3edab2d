_base_ = [
    '../_base_/models/gfl_vitdet.py',
    '../_base_/datasets/coco_detection_lsj-1024.py',
    '../_base_/schedules/vitdet_100e.py',
    '../_base_/runtime_detection.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='ViTPretrained', checkpoint='https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth'
        ),
    ),
)
