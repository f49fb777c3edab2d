_base_ = ['./vit-fpn-b-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/pretrainings/deit.py']

model = dict(backbone=dict(init_cfg=dict(checkpoint=_base_.deit.base, known=['act', 'pos_resize'])))
