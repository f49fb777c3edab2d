_base_ = [
    '../_base_/models/mask-rcnn_vit-adapter.py',
    'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/schedules/adamw_coco-1x.py',
    '../_base_/runtime_detection_epochs.py',
]

model = dict(
    backbone=dict(
        vit=dict(
            init_cfg=dict(
                type='ViTPretrained',
                checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth',
            ),
        ),
    ),
)
