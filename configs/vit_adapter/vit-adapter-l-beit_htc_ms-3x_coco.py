_base_ = [
    '../_base_/models/htc_vit-adapter.py',
    '../_base_/datasets/coco_instance_stuff-1600.py',
    '../_base_/schedules/layer-decay_coco-3x.py',
    '../_base_/runtime_detection_epochs.py',
    '../_base_/sizes/adapter-large-beit.py',
    '../_base_/pretrainings/beit.py',
    '../_base_/tta_htc.py',
]

model = dict(
    backbone=dict(
        vit=dict(**_base_.size.vit, init_cfg=dict(type='ViTPretrained', checkpoint=_base_.beit.large_tuned)),
        **_base_.size.adapter,
    ),
)
