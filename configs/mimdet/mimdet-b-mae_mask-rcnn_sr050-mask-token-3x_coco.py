# The model of release 1.0.0, which fills in a mask token; its published file has the name of that of release 1.2.0.
_base_ = './mimdet-b-mae_mask-rcnn_sr050-3x_coco.py'

model = dict(backbone=dict(fill='mask_token'))
