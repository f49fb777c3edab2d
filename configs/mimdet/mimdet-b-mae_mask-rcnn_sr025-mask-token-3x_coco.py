# The model of release 1.0.0, which fills in a mask token.
_base_ = './mimdet-b-mae_mask-rcnn_sr025-3x_coco.py'

model = dict(backbone=dict(fill='mask_token'))
