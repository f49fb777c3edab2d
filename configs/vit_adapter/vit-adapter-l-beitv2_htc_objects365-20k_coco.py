# The published run starts from a model that ViT-Adapter trained on Objects365, without its classes: give as load_from
# https://github.com/czczup/ViT-Adapter/releases/download/v0.3.1/htc++_beitv2_adapter_large_fpn_o365.pth
# The pyramid and the box heads have norms, and the boxes learn by GIoU.
_base_ = [
    '../_base_/models/htc_vit-adapter.py',
    '../_base_/datasets/coco_instance_stuff-1600.py',
    '../_base_/runtime_detection.py',
    '../_base_/sizes/adapter-large-beit.py',
    '../_base_/pretrainings/beitv2.py',
    '../_base_/tta_htc.py',
]

neck = _base_.model.neck
neck[0]['with_cp'] = True
neck[1]['norm_cfg'] = dict(type='GN', num_groups=32)
bbox_head = _base_.model.roi_head.bbox_head
for stage in bbox_head:
    stage['reg_decoded_bbox'] = True
    stage['norm_cfg'] = dict(type='SyncBN', requires_grad=True)
    stage['loss_bbox'] = dict(type='GIoULoss', loss_weight=10.0)
model = dict(
    backbone=dict(
        vit=dict(**_base_.size.vit, init_cfg=dict(type='ViTPretrained', checkpoint=_base_.beitv2.large_tuned)),
        **_base_.size.adapter,
        with_cp=True,
    ),
    neck=neck,
    roi_head=dict(bbox_head=bbox_head),
)
model['backbone']['vit']['drop_path_rate'] = 0.3

backend_args = None
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True, with_seg=True),
    dict(type='RandomResize', scale=[(2000, 600), (2000, 1600)], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='Resize', scale=(2000, 1000), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=2,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
    batch_sampler=None,
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(type='IterBasedTrainLoop', max_iters=20000, val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# The rate stays after the warm-up.
param_scheduler = [dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500)]
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(layer_decay_rate=0.8, flat_decay_mult=0.0),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=3, save_best='auto'))
# The averaged weights are those that are evaluated and saved.
custom_hooks = [
    dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=1e-4, gamma=2000, update_buffers=True, priority=49)
]
auto_scale_lr = dict(base_batch_size=64)
