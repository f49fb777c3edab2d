_base_ = ['./vitdet-b-mae_mask-rcnn_lsj-100e_lvis-v1.py', '../_base_/sizes/vitdet-large.py']

model = dict(
    backbone=dict(**_base_.size.vit, init_cfg=dict(checkpoint=_base_.mae.large)),
    neck=_base_.size.neck,
)
optim_wrapper = _base_.size.optim_wrapper
