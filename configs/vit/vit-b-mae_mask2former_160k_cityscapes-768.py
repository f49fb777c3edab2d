_base_ = [
    '../_base_/models/mask2former_vit.py',
    '../_base_/datasets/cityscapes-768.py',
    '../_base_/schedules/vit_160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/tta_segmentation.py',
    '../_base_/pretrainings/mae.py',
]

# mmseg's Mask2Former is made of mmdet's parts.
custom_imports = dict(imports=['mmvitdense', 'mmdet.models'], allow_failed_imports=False)
model = dict(
    data_preprocessor=dict(size=(768, 768)),
    backbone=dict(img_size=768, init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base)),
    decode_head=dict(num_classes=19, loss_cls=dict(class_weight=[1.0] * 19 + [0.1])),
    test_cfg=dict(crop_size=(768, 768), stride=(512, 512)),
)
