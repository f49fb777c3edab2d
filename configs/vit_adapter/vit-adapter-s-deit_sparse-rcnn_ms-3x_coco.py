_base_ = [
    '../_base_/models/sparse-rcnn_vit-adapter.py',
    '../_base_/datasets/coco_detection_ms.py',
    '../_base_/schedules/adamw_coco-3x.py',
    '../_base_/runtime_detection_epochs.py',
    '../_base_/pretrainings/deit.py',
]

model = dict(
    backbone=dict(
        vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.deit.small, known=['act', 'pos_resize']))
    )
)
# Of the proposals, boxes and features, which are parameters.
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'rpn_head': dict(lr_mult=0.25, decay_mult=0.002)}),
    clip_grad=dict(max_norm=1, norm_type=2),
)
