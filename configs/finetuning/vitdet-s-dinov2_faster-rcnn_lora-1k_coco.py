# Between the two: the ViT stays as it is, and its attention learns updates of rank 8.
_base_ = './vitdet-s-dinov2_faster-rcnn_tuned-1k_coco.py'

model = dict(backbone=dict(_delete_=True, type='mmvitdense.LoRA', rank=8, targets=('q', 'v'), vit=_base_.vit))
optim_wrapper = dict(paramwise_cfg=dict(lr_mults={'backbone': 0.2}))
custom_hooks = [dict(type='mmvitdense.TrainedWeightsHook')]
