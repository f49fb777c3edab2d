# The published model and recipe for Cityscapes: norms of the ResNet-50 are trained. 8 GPUs with 4 images each.
_base_ = [
    '../_base_/models/pem_r50.py',
    '../_base_/datasets/cityscapes-768.py',
    '../_base_/schedules/pem_160k-ade20k.py',
    '../_base_/runtime_segmentation.py',
]

crop_size = (512, 1024)
pem = _base_.model.neck[0]
pem.num_classes = 19
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(norm_cfg=dict(type='SyncBN', requires_grad=True), norm_eval=False),
    neck=[pem],
    decode_head=dict(num_classes=19),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomChoiceResize',
        scales=[1024 * tenths // 10 for tenths in range(5, 21)],
        resize_type='ResizeShortestEdge',
        max_size=4096,
    ),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
max_iters = 90000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=max_iters, T_max=max_iters, eta_min=0.0)]
optim_wrapper = dict(optimizer=dict(lr=7e-4))
