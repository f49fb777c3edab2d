_base_ = [
    '../_base_/models/mask-rcnn_vitdet.py',
    '../_base_/datasets/lvis-v1_instance_lsj-1024.py',
    '../_base_/schedules/vitdet_100e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/mae.py',
]

num_classes = 1203
model = dict(
    backbone=dict(
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base),
    ),
    roi_head=dict(
        bbox_head=dict(num_classes=num_classes, loss_cls=dict(_delete_=True, type='mmvitdense.FederatedLoss')),
        mask_head=dict(num_classes=num_classes),
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.02, max_per_img=300)),
)
# Gives the loss the number of images of each class.
custom_hooks = [dict(type='mmvitdense.ClassCountsHook')]

# 100 epochs of 100 000 images.
max_iters = 156250
train_cfg = dict(max_iters=max_iters, val_interval=30000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[138889, 150463], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(lr=2e-4))
