_base_ = [
    '../_base_/models/mask2former_vitdet-tiny.py',
    '../_base_/datasets/shapes_panoptic.py',
    '../_base_/schedules/shapes_600.py',
    '../_base_/runtime_detection.py',
]

train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters), logger=dict(interval=50))
