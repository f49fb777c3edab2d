_base_ = ['./vit-fpn-b-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/pretrainings/mocov3.py']

model = dict(backbone=dict(init_cfg=dict(checkpoint=_base_.mocov3.base)))
optim_wrapper = dict(optimizer=dict(lr=1.6e-4))
