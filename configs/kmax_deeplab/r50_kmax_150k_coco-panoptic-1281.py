# The published model. 32 GPUs with 2 images each.
_base_ = [
    '../_base_/models/kmax_panoptic.py',
    '../_base_/datasets/coco_panoptic_kmax-1281.py',
    '../_base_/schedules/kmax_150k.py',
    '../_base_/runtime_detection.py',
]

classes = dict(num_things_classes=80, num_stuff_classes=53)
norm_cfg = dict(type='SyncBN', eps=1e-3, momentum=0.01)
kmax = _base_.model.neck[1]
kmax.update(in_channels=[256, 512, 1024, 2048], num_classes=133, drop_path_rate=0.2)
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, pad_size_divisor=1281),
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=50,
        norm_cfg=norm_cfg,
        norm_eval=False,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    neck=[kmax],
    panoptic_head=classes,
    panoptic_fusion_head=classes,
    test_cfg=dict(instance_on=False, thing_thr=0.7, stuff_thr=0.5),
)
train_dataloader = dict(batch_size=2)
