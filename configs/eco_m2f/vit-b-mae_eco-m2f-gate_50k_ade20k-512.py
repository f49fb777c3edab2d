# Give the trained parent as load_from, and the file of tools/make_exit_scores.py as scores_file of LoadExitScores.
_base_ = './vit-b-mae_eco-m2f-parent_160k_ade20k-512.py'

# From the released settings for Cityscapes: 8 images, rate 1e-4, 50k steps, beta 0.003 (or 0.01).
max_iters = 50000
model = dict(decode_head=dict(mode='gate', beta=0.003, pixel_decoder=dict(encoder=dict(exit='gate'))))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='mmvitdense.LoadExitScores', scores_file='data/ade/exit_scores.json'),
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=_base_.crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape', 'exit_scores')),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [dict(type='PolyLR', power=0.9, by_epoch=False, begin=0, end=max_iters)]
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05))
auto_scale_lr = dict(base_batch_size=8)
