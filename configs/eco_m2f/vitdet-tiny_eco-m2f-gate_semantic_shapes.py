# Give the trained parent as load_from, and write data/shapes/exit_scores_semantic.json with tools/make_exit_scores.py.
_base_ = './vitdet-tiny_eco-m2f-parent_semantic_shapes.py'

max_iters = 300
model = dict(decode_head=dict(mode='gate', beta=0.01, pixel_decoder=dict(encoder=dict(exit='gate'))))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='mmvitdense.LoadExitScores', scores_file='data/shapes/exit_scores_semantic.json'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape', 'exit_scores')),
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=max_iters, T_max=max_iters, eta_min=0)]
optim_wrapper = dict(optimizer=dict(lr=1e-2, weight_decay=0.0), clip_grad=None)
default_hooks = dict(checkpoint=dict(interval=max_iters))
