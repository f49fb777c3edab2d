# 16 epochs of ADE20K, otherwise as pmt_12e.py.
_base_ = './pmt_12e.py'

max_iters = 20208
train_cfg = dict(max_iters=max_iters, val_interval=2526)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=6000),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=6000, end=max_iters, T_max=max_iters - 6000, eta_min=1e-9),
]
custom_hooks = [
    dict(
        type='mmvitdense.MaskAnnealingHook',
        starts=[0, 5384, 7403, 9422, 11442, 13461],
        ends=[3000, 8749, 10769, 12788, 14807, 16826],
    )
]
