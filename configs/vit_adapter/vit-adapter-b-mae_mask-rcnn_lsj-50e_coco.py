_base_ = './vit-adapter-b-mae_mask-rcnn_lsj-25e_coco.py'

model = dict(backbone=dict(vit=dict(drop_path_rate=0.2)))
max_epochs = 50
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=2000),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=max_epochs, T_max=max_epochs, eta_min_ratio=0.01),
]
