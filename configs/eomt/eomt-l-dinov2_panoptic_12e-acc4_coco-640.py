# The same recipe on one GPU with 4 images at a time: 4 iterations make a step. The numbers of the schedule and of the annealing
# are steps, those of the loop iterations.
_base_ = './eomt-l-dinov2_panoptic_12e_coco-640.py'

accumulative_counts = 4
max_iters = accumulative_counts * 88692
train_cfg = dict(max_iters=max_iters, val_interval=accumulative_counts * 7391)
param_scheduler = [
    dict(
        type='mmvitdense.TwoStageWarmupPoly',
        warmup=(500, 1000),
        total=88692,
        accumulative_counts=accumulative_counts,
        by_epoch=False,
    )
]
optim_wrapper = dict(accumulative_counts=accumulative_counts)
model = dict(backbone=dict(vit=dict(with_cp=True)))
