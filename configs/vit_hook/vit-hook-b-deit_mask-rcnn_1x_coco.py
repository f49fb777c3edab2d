_base_ = [
    '../_base_/models/mask-rcnn_vit-hook.py',
    'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/schedules/adamw_coco-1x.py',
    '../_base_/runtime_detection_epochs.py',
    '../_base_/pretrainings/deit.py',
]

model = dict(
    backbone=dict(
        vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.deit.base, known=['act', 'pos_resize']))
    )
)
optim_wrapper = dict(
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    optimizer=dict(weight_decay=0.05),
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.85, flat_decay_mult=0.0),
)
