# projects/configs/co_dino_vit/co_dino_5scale_vit_large_coco.py of Sense-X/Co-DETR: EVA-02-L with windows of 24 tokens. The
# released model starts from a Co-DETR trained on Objects365 (see README), this one from EVA-02's own weights. The pixel
# statistics are the released ones, not those of EVA-02.
_base_ = [
    '../_base_/models/co-dino_vitdet.py',
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/runtime_detection_epochs.py',
    '../_base_/pretrainings/eva02.py',
    '../_base_/tta_co-dino.py',
]

model = dict(
    num_queries=1500,
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        arch='large',
        feedforward_channels=2730,
        rope=dict(kind='eva02'),
        qkv_bias='qv',
        ffn='swiglu',
        ffn_norm=True,
        patch_size=16,
        img_size=1536,
        pretrain_img_size=512,
        pos_embed_cls_slot=True,
        window_size=24,
        global_blocks=(3, 7, 11, 15, 19, 23),
        final_norm='last',
        final_norm_eps=1e-5,
        drop_path_rate=0.4,
        with_cp=True,
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.eva02.large),
    ),
    neck=dict(_delete_=True, type='mmvitdense.SFP', in_channels=1024, out_channels=256),
    dn_cfg=dict(box_noise_scale=0.4, group_cfg=dict(num_dn_queries=300)),
    roi_head=dict(
        bbox_head=dict(
            type='ConvFCBBoxHead',
            num_shared_convs=4,
            num_shared_fcs=1,
            conv_out_channels=256,
            bbox_coder=dict(target_stds=[0.05, 0.05, 0.1, 0.1]),
            reg_class_agnostic=True,
            norm_cfg=dict(type='GN', num_groups=32),
        )
    ),
    test_cfg=dict(
        max_per_img=1000,
        rpn=dict(nms_pre=8000, max_per_img=2000, nms=dict(iou_threshold=0.9)),
        rcnn=dict(nms=dict(type='soft_nms', iou_threshold=0.5), max_per_img=1000),
        dense=dict(nms=dict(type='soft_nms', iou_threshold=0.6)),
    ),
)

backend_args = None
scales = [(side, 2400) for side in range(480, 1537, 32)]
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[
            [dict(type='RandomChoiceResize', scales=scales, keep_ratio=True)],
            [
                dict(type='RandomChoiceResize', scales=[(400, 4200), (500, 4200), (600, 4200)], keep_ratio=True),
                dict(type='RandomCrop', crop_type='absolute_range', crop_size=(384, 600), allow_negative_crop=True),
                dict(type='RandomChoiceResize', scales=scales, keep_ratio=True),
            ],
        ],
    ),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='Resize', scale=(2048, 1280), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(batch_size=1, dataset=dict(filter_cfg=dict(filter_empty_gt=False), pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

max_epochs = 12
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=max_epochs, milestones=[7], gamma=0.1),
]
# Nothing of one dimension decays; positions do, as in the released code.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-5, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(layer_decay_rate=0.8, flat_decay_mult=0.0),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
# The averaged weights are those that are evaluated and saved.
custom_hooks = [
    dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=1e-4, gamma=2000, update_buffers=True, priority=49)
]
auto_scale_lr = dict(base_batch_size=16)
