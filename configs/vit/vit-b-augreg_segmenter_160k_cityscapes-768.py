_base_ = [
    '../_base_/models/segmenter_vit.py',
    '../_base_/datasets/cityscapes-768.py',
    '../_base_/schedules/sgd_poly-160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/tta_segmentation.py',
    '../_base_/pretrainings/augreg.py',
]

model = dict(
    data_preprocessor=dict(size=(768, 768)),
    backbone=dict(img_size=768, init_cfg=dict(type='ViTPretrained', checkpoint=_base_.augreg.base_384)),
    decode_head=dict(num_classes=19),
    test_cfg=dict(crop_size=(768, 768), stride=(512, 512)),
)
train_dataloader = dict(batch_size=1)
