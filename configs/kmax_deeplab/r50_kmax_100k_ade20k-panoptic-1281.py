# 32 GPUs with 2 images each.
_base_ = [
    '../_base_/models/kmax_r50.py',
    '../_base_/datasets/ade20k_panoptic_kmax-1281.py',
    '../_base_/schedules/kmax_150k.py',
    '../_base_/runtime_detection.py',
]

train_dataloader = dict(batch_size=2)
max_iters = 100000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.001,
        end_factor=(1 - _base_.warm_up / max_iters) ** 0.9,
        by_epoch=False,
        begin=0,
        end=_base_.warm_up,
    ),
    dict(type='PolyLR', eta_min=0.0, power=0.9, by_epoch=False, begin=_base_.warm_up, end=max_iters),
]
