_base_ = '../../configs/finetuning/vitdet-s-dinov2_mask-rcnn_tuned-1k_coco.py'

data = dict(data_root='data/scatspotter/', metainfo=dict(classes=('poop',)), data_prefix=dict(_delete_=True, img=''))
model = dict(roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)))
# Polygons are for the pixels as stored, not turned as a phone has noted.
train_pipeline, test_pipeline = _base_.train_dataloader.dataset.pipeline, _base_.val_dataloader.dataset.pipeline
train_pipeline[0]['color_type'] = test_pipeline[0]['color_type'] = 'color_ignore_orientation'
train = dict(**data, ann_file='train.json', filter_cfg=dict(filter_empty_gt=False), pipeline=train_pipeline)
train_dataloader = dict(dataset=train)
val_dataloader = dict(dataset=dict(**data, ann_file='vali.json', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='data/scatspotter/vali.json')
test_evaluator = val_evaluator
max_iters = 10000
train_cfg = dict(max_iters=max_iters, val_interval=2000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=max_iters, T_max=max_iters - 50, eta_min=0),
]
