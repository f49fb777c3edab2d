# The published model: ResNet-50 with fixed norms. 8 GPUs with 4 images each.
_base_ = [
    '../_base_/models/pem_r50.py',
    '../_base_/datasets/ade20k-512.py',
    '../_base_/schedules/pem_160k-ade20k.py',
    '../_base_/runtime_segmentation.py',
]

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomChoiceResize',
        scales=[512 * tenths // 10 for tenths in range(5, 21)],
        resize_type='ResizeShortestEdge',
        max_size=2048,
    ),
    dict(type='RandomCrop', crop_size=(512, 512)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
