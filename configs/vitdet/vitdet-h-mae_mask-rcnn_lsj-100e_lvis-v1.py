_base_ = ['./vitdet-b-mae_mask-rcnn_lsj-100e_lvis-v1.py', '../_base_/sizes/vitdet-huge.py']

model = dict(
    # MAE's ViT-H with its patch embedding resized from 14 to 16 pixels, published with ViTDet.
    backbone=dict(**_base_.size.vit, drop_path_rate=0.4, init_cfg=dict(checkpoint=_base_.mae.huge_patch16)),
    neck=_base_.size.neck,
)
optim_wrapper = dict(optimizer=dict(lr=1e-4), **_base_.size.optim_wrapper)
