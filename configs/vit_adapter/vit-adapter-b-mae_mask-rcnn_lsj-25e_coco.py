# The 'upgraded' Mask R-CNN of the repository: norms in the pyramid and the heads, four convolutions before the boxes.
_base_ = [
    '../_base_/models/mask-rcnn_vit-adapter.py',
    'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/runtime_detection_epochs.py',
    '../_base_/sizes/adapter-base.py',
    '../_base_/pretrainings/mae.py',
]

norm_cfg = dict(type='SyncBN', requires_grad=True)
image_size = (1024, 1024)
model = dict(
    data_preprocessor=dict(batch_augments=[dict(type='BatchFixedSizePad', size=image_size, pad_mask=True)]),
    backbone=dict(
        vit=dict(
            arch='base',
            layer_scale_init=None,
            drop_path_rate=0.1,
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base),
        ),
        **_base_.size.adapter,
        num_extra_extractors=0,
    ),
    neck=dict(in_channels=_base_.size.maps, norm_cfg=norm_cfg),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
)

backend_args = None
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomResize', scale=image_size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(
        type='RandomCrop',
        crop_type='absolute_range',
        crop_size=image_size,
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

max_epochs = 25
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=2000),
    # Falls to a hundredth, from epoch to epoch.
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=max_epochs, T_max=max_epochs, eta_min_ratio=0.01),
]
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale=dict(init_scale=512),
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        custom_keys={
            'level_embed': dict(decay_mult=0.0),
            'pos_embed': dict(decay_mult=0.0),
            'norm': dict(decay_mult=0.0),
            'bias': dict(decay_mult=0.0),
        }
    ),
)
auto_scale_lr = dict(base_batch_size=16)
