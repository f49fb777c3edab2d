# The recipe of the ImageNet-1k models is not released: this is ViT-Adapter's, with the images and the mixed precision of
# the released DINOv2 configs.
_base_ = [
    '../_base_/models/mask-rcnn_vit-adapter.py',
    '../_base_/datasets/coco_instance_ms.py',
    '../_base_/schedules/adamw_coco-1x.py',
    '../_base_/runtime_detection_epochs.py',
    '../_base_/pretrainings/deit.py',
]

model = dict(
    backbone=dict(
        type='mmvitdense.ViTCoMer',
        vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.deit.small, known=['act', 'pos_resize'])),
    ),
)
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale=dict(init_scale=512))
