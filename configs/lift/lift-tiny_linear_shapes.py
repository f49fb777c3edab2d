# A linear head on the doubled map of a frozen trunk, that of vit-tiny_linear_shapes.py.
_base_ = ['./vit-tiny_linear_shapes.py']

trunk = 'work_dirs/vit-tiny_linear_shapes/iter_1400.pth'
lift = 'work_dirs/lift-tiny_pretraining_shapes/iter_1200.pth'
lifted_vit = dict(
    type='mmvitdense.LiftedViT',
    vit=dict(**_base_.tiny_vit, frozen_stages='all', init_cfg=dict(type='ViTPretrained', checkpoint=trunk)),
    lift=dict(init_cfg=dict(type='LiFTPretrained', checkpoint=lift)),
    norm=True,
)
model = dict(backbone=dict(_delete_=True, **lifted_vit))
max_iters = 600
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters, eta_min=0)]
default_hooks = dict(checkpoint=dict(interval=max_iters))
