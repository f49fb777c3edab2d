# projects/configs/co_dino_vit/co_dino_5scale_vit_large_coco_instance.py of Sense-X/Co-DETR.
_base_ = './vit-l-eva02_co-dino_12e_coco.py'

model = _base_.co_dino_masks
train_pipeline = _base_.train_pipeline
train_pipeline[1].with_mask = True
test_pipeline = _base_.test_pipeline
test_pipeline[2].with_mask = True
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
