# 200 epochs at 8 images a step, one of them at a time (SunnyHaze/IML-ViT main_train.py and README).
max_epochs = 200
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=True, begin=0, end=4, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=5e-7,
        by_epoch=True,
        begin=4,
        end=max_epochs,
        T_max=max_epochs - 4,
        convert_to_iter_based=True,
    ),
]
optim_wrapper = dict(
    type='AmpOptimWrapper',
    accumulative_counts=8,
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
