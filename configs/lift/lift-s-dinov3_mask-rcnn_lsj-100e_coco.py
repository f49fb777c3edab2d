# ViTDet's Mask R-CNN on the doubled map of a frozen DINOv3 ViT-S, without windows as the ViT is not tuned to them. The pyramid
# starts from stride 8. The weights of LiFT are those that lift-s-dinov3_pretraining_5e_imagenet.py makes.
_base_ = [
    '../_base_/models/mask-rcnn_vitdet.py',
    '../_base_/datasets/coco_instance_lsj-1024.py',
    '../_base_/schedules/vitdet_100e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/dinov3.py',
]

lift = 'work_dirs/lift-s-dinov3_pretraining_5e_imagenet/iter_25024.pth'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.LiftedViT',
        vit=dict(
            preset='dinov3-small',
            frozen_stages='all',
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.small),
        ),
        lift=dict(init_cfg=dict(type='LiFTPretrained', checkpoint=lift)),
        norm=True,
    ),
    neck=dict(in_channels=384, scale_factors=(2, 1, 0.5, 0.25), num_outs=5),
)
