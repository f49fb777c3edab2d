# Published runs start from the trained weights of vit-adapter-l-beitv2_mask2former_80k_coco-stuff164k-896: give them as load_from.
_base_ = [
    '../_base_/models/mask2former_vit-adapter.py',
    '../_base_/datasets/ade20k-896.py',
    '../_base_/schedules/adamw_poly-80k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/beitv2.py',
]

# mmseg's Mask2Former is made of mmdet's parts.
custom_imports = dict(imports=['mmvitdense', 'mmdet.models'], allow_failed_imports=False)
num_classes = 150
model = dict(
    backbone=dict(vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.beitv2.large_tuned))),
    decode_head=dict(
        num_classes=num_classes,
        loss_cls=dict(class_weight=[1.0] * num_classes + [0.1]),
    ),
)
train_dataloader = dict(batch_size=1)
