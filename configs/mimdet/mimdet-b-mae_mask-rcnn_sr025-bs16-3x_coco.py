# For eight small GPUs: a quarter of the tokens, 16 images an iteration, the mask token of release 1.0.0 as fill. The learning
# rate goes down with the square root of the number of images.
_base_ = './mimdet-b-mae_mask-rcnn_sr025-3x_coco.py'

model = dict(backbone=dict(fill='mask_token', with_cp=False))
train_dataloader = dict(batch_size=2)
max_iters = 270000
train_cfg = dict(max_iters=max_iters, val_interval=7500)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1875),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[202500, 247500], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(lr=4e-5))
auto_scale_lr = dict(base_batch_size=16)
