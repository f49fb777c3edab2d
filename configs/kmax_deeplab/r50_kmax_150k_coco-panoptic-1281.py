# 32 GPUs with 2 images each.
_base_ = [
    '../_base_/models/kmax_r50.py',
    '../_base_/datasets/coco_panoptic_kmax-1281.py',
    '../_base_/schedules/kmax_150k.py',
    '../_base_/runtime_detection.py',
]

classes = dict(num_things_classes=80, num_stuff_classes=53)
kmax = _base_.model.neck[0]
kmax.update(num_classes=133, drop_path_rate=0.2)
model = dict(
    neck=[kmax],
    panoptic_head=classes,
    panoptic_fusion_head=classes,
    test_cfg=dict(thing_thr=0.7, stuff_thr=0.5),
)
train_dataloader = dict(batch_size=2)
