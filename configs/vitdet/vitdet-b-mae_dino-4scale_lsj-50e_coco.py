_base_ = [
    '../_base_/models/dino_vitdet.py',
    '../_base_/datasets/coco_detection_lsj-1024.py',
    '../_base_/schedules/vitdet-queries_50e.py',
    '../_base_/runtime_detection.py',
]

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='ViTPretrained', checkpoint='https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth'
        ),
    ),
)
train_dataloader = dict(batch_size=2)
# Weight decay and clipping of DINO.
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4), clip_grad=dict(max_norm=0.1))
