_base_ = [
    '../_base_/models/co-dino_vitdet.py',
    '../_base_/datasets/coco_detection_lsj-1024.py',
    '../_base_/schedules/vitdet-queries_50e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/mae.py',
    '../_base_/tta_co-dino.py',
]

model = dict(backbone=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base)))
train_dataloader = dict(batch_size=2)
# Weight decay and clipping of Co-DINO.
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4), clip_grad=dict(max_norm=0.1))
