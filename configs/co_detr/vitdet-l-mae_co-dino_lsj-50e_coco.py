_base_ = ['./vitdet-b-mae_co-dino_lsj-50e_coco.py', '../_base_/sizes/vitdet-large.py']

model = dict(
    backbone=dict(**_base_.size.vit, init_cfg=dict(checkpoint=_base_.mae.large)),
    neck=_base_.size.neck,
)
optim_wrapper = _base_.size.optim_wrapper
