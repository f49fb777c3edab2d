# The ViT stays as it is: least memory and time, and checkpoints of pyramid and heads alone.
_base_ = './vitdet-s-dinov2_mask-rcnn_tuned-1k_coco.py'

model = dict(backbone=dict(frozen_stages='all', drop_path_rate=0.0))
optim_wrapper = dict(paramwise_cfg=dict(lr_mults={}))
custom_hooks = [dict(type='mmvitdense.TrainedWeightsHook')]
