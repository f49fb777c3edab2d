_base_ = '../vit_adapter/vit-adapter-b-deit_cascade-mask-rcnn_ms-3x_coco.py'

model = dict(backbone=dict(type='mmvitdense.ViTCoMer'))
