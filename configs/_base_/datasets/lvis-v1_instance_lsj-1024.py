# LVIS v1 instances with the large-scale jitter of COCO. Images of rare classes are repeated (detectron2
# configs/common/data of projects/ViTDet: RepeatFactorTrainingSampler).
_base_ = './coco_instance_lsj-1024.py'

dataset_type = 'LVISV1Dataset'
data_root = 'data/lvis_v1/'
train_dataloader = dict(
    sampler=dict(_delete_=True, type='mmvitdense.RepeatFactorSampler', threshold=0.001),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/lvis_v1_train.json',
        # Folders are in the file: LVIS divides the images of COCO anew.
        data_prefix=dict(img=''),
    ),
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/lvis_v1_val.json',
        data_prefix=dict(img=''),
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
    type='LVISMetric',
    ann_file=data_root + 'annotations/lvis_v1_val.json',
    metric=['bbox', 'segm'],
)
test_evaluator = val_evaluator
