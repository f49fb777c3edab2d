_base_ = './mimdet-b-mae_mask-rcnn_sr050-3x_coco.py'

model = dict(backbone=dict(sample_ratio=0.25))
