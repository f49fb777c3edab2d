# Give the trained parent as load_from, and the file of tools/make_exit_scores.py as scores_file of LoadExitScores.
_base_ = './vitdet-b-mae_eco-m2f-parent_lsj-50e_coco.py'

# From the released settings for COCO: 8 images, rate 1e-4, warm-up of 10 steps, 300k of them, beta 0.0005 (or 0.02).
max_iters = 300000
image_size = (1024, 1024)
model = dict(panoptic_head=dict(mode='gate', beta=0.0005, pixel_decoder=dict(encoder=dict(exit='gate'))))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmvitdense.LoadExitScores', scores_file='data/coco/exit_scores.json'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=image_size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_type='absolute', crop_size=image_size, allow_negative_crop=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'exit_scores')),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_iters=max_iters)
param_scheduler = [dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=10)]
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05))
auto_scale_lr = dict(base_batch_size=8)
