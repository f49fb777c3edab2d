# HTC++ of ViT-Adapter on ViT-Adapter-L: a hybrid task cascade (arXiv 1901.07518) with a semantic branch for the things and
# stuff of COCO, box heads of four convolutions and a layer, attention over the smallest map before the pyramid, and soft
# suppression. The ViT and the options of its adapter are to be given.
_base_ = 'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py'

maps = [1024, 1024, 1024, 1024]
head = dict(
    type='Shared4Conv1FCBBoxHead',
    in_channels=256,
    fc_out_channels=1024,
    roi_feat_size=7,
    num_classes=80,
    reg_class_agnostic=True,
    loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0),
)
coder = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0, 0.0, 0.0, 0.0])
stages = [[0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067]]
mask_head = dict(
    type='HTCMaskHead',
    num_convs=4,
    in_channels=256,
    conv_out_channels=256,
    num_classes=80,
    loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0),
)
model = dict(
    type='HybridTaskCascade',
    data_preprocessor=dict(pad_seg=True, seg_pad_value=255),
    backbone=dict(
        _delete_=True,
        type='mmvitdense.ViTAdapter',
        norm_cfg=dict(type='SyncBN'),
    ),
    neck=[
        dict(
            type='mmvitdense.ExtraAttention',
            in_channels=maps,
            num_heads=32,
            ffn_ratio=4.0,
            drop_path_rate=0.3,
        ),
        dict(type='FPN', in_channels=maps, out_channels=256, num_outs=5),
    ],
    roi_head=dict(
        type='HybridTaskCascadeRoIHead',
        interleaved=True,
        mask_info_flow=True,
        bbox_head=[dict(**head, bbox_coder=dict(**coder, target_stds=target_stds)) for target_stds in stages],
        # The first takes nothing from a stage before it.
        mask_head=[dict(**mask_head, with_conv_res=False), mask_head, mask_head],
        semantic_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[8],
        ),
        semantic_head=dict(
            type='FusedSemanticHead',
            num_ins=5,
            fusion_level=1,
            seg_scale_factor=1 / 8,
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=183,
            loss_seg=dict(type='CrossEntropyLoss', ignore_index=255, loss_weight=0.2),
        ),
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(_delete_=True, type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3)
        ),
        rcnn=[
            dict(
                # Objects that no box overlaps that much have the boxes that overlap them most.
                assigner=dict(type='MaxIoUAssigner', pos_iou_thr=iou, neg_iou_thr=iou, min_pos_iou=iou),
                sampler=dict(type='RandomSampler', num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
                mask_size=28,
                pos_weight=-1,
                debug=False,
            )
            for iou in (0.5, 0.6, 0.7)
        ],
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.001, nms=dict(type='soft_nms', iou_threshold=0.5), max_per_img=100)),
)
