# COCO boxes at 1333 x 800, the pipeline of mmdet, sampled by iterations.
_base_ = 'mmdet::_base_/datasets/coco_detection.py'

train_dataloader = dict(sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True))
