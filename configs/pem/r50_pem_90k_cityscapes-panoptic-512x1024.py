# The published model and recipe for panoptic Cityscapes: norms of the ResNet-50 are trained. 8 GPUs with 4 images each.
_base_ = [
    '../_base_/models/pem_panoptic.py',
    '../_base_/models/resnet-50.py',
    '../_base_/datasets/cityscapes_panoptic-512x1024.py',
    '../_base_/schedules/pem_160k-ade20k.py',
    '../_base_/runtime_detection.py',
]

classes = dict(num_things_classes=8, num_stuff_classes=11)
pem = _base_.model.neck[1]
pem.update(in_channels=[256, 512, 1024, 2048], num_classes=19)
model = dict(
    # Padding is added after normalisation, as there.
    data_preprocessor=dict(
        _delete_=True,
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        pad_mask=True,
        pad_seg=True,
        seg_pad_value=255,
    ),
    backbone=dict(
        _delete_=True,
        **_base_.resnet50,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        norm_eval=False,
    ),
    neck=[pem],
    panoptic_head=classes,
    panoptic_fusion_head=classes,
)
max_iters = 90000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=max_iters, T_max=max_iters, eta_min=0.0)]
optim_wrapper = dict(optimizer=dict(lr=7e-4))
