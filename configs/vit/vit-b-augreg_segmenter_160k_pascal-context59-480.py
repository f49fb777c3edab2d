_base_ = [
    '../_base_/models/segmenter_vit.py',
    '../_base_/datasets/pascal-context59-480.py',
    '../_base_/schedules/sgd_poly-160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/tta_segmentation.py',
    '../_base_/pretrainings/augreg.py',
]

model = dict(
    data_preprocessor=dict(size=(480, 480)),
    backbone=dict(img_size=480, init_cfg=dict(type='ViTPretrained', checkpoint=_base_.augreg.base_384)),
    decode_head=dict(num_classes=59),
    test_cfg=dict(crop_size=(480, 480), stride=(320, 320)),
)
train_dataloader = dict(batch_size=1)
