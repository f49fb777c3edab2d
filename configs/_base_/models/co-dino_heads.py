# What Co-DINO (arXiv 2211.12860) has beside DINO: a Faster R-CNN and an ATSS on the output of the encoder of five maps, for
# `model = _base_.co_dino`. Of projects/configs/co_dino/co_dino_5scale_r50_1x_coco.py of Sense-X/Co-DETR. Their losses have
# the weights of the six layers of the decoder together, twice (lambda 2).
co_weight = 6 * 2.0
strides = [4, 8, 16, 32, 64]
co_dino = dict(
    type='mmvitdense.CoDETR',
    num_feature_levels=5,
    encoder=dict(num_cp=6, layer_cfg=dict(self_attn_cfg=dict(num_levels=5))),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_levels=5))),
    bbox_head=dict(
        type='mmvitdense.CoDINOHead',
        loss_cls=dict(_delete_=True, type='QualityFocalLoss', use_sigmoid=True, beta=2.0, loss_weight=1.0),
    ),
    rpn_head=dict(
        type='RPNHead',
        in_channels=256,
        feat_channels=256,
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=4,
            scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0],
            strides=[*strides, 128],
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[1.0] * 4),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=co_weight),
        loss_bbox=dict(type='L1Loss', loss_weight=co_weight),
    ),
    roi_head=dict(
        type='mmvitdense.CoStandardRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=256,
            featmap_strides=strides,
            finest_scale=56,
        ),
        bbox_head=dict(
            type='Shared2FCBBoxHead',
            in_channels=256,
            fc_out_channels=1024,
            roi_feat_size=7,
            num_classes=80,
            bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
            reg_class_agnostic=False,
            reg_decoded_bbox=True,
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=co_weight),
            loss_bbox=dict(type='GIoULoss', loss_weight=10 * co_weight),
        ),
    ),
    dense_head=dict(
        type='mmvitdense.CoATSSHead',
        num_classes=80,
        in_channels=256,
        stacked_convs=1,
        feat_channels=256,
        anchor_generator=dict(
            type='AnchorGenerator', ratios=[1.0], octave_base_scale=8, scales_per_octave=1, strides=[*strides, 128]
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=co_weight),
        loss_bbox=dict(type='GIoULoss', loss_weight=2 * co_weight),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=co_weight),
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True
            ),
            sampler=dict(type='RandomSampler', num=256, pos_fraction=0.5, add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
        ),
        rpn_proposal=dict(nms_pre=4000, max_per_img=1000, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            assigner=dict(
                type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False
            ),
            sampler=dict(type='RandomSampler', num=512, pos_fraction=0.25, add_gt_as_proposals=True),
            pos_weight=-1,
        ),
        dense=dict(assigner=dict(type='ATSSAssigner', topk=9), allowed_border=-1, pos_weight=-1),
    ),
    test_cfg=dict(
        max_per_img=300,
        nms=dict(type='soft_nms', iou_threshold=0.8),
        rpn=dict(nms_pre=1000, max_per_img=1000, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
        dense=dict(
            nms_pre=1000, min_bbox_size=0, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.6), max_per_img=100
        ),
    ),
)
# Masks of what the queries find, of projects/configs/co_dino_vit/co_dino_5scale_vit_large_coco_instance.py: `model =
# _base_.co_dino_masks` over a Co-DINO.
co_dino_masks = dict(
    mask_head=dict(
        type='mmvitdense.CoMaskHead',
        num_classes=80,
        in_channels=256,
        strides=strides,
        mask_weight=1.33 * co_weight,
        iou_weight=0.5 * co_weight,
    ),
    train_cfg=dict(
        mask=dict(
            assigner=dict(
                type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False
            ),
            sampler=dict(type='RandomSampler', num=512, pos_fraction=0.25, add_gt_as_proposals=True),
            mask_thr_binary=0.5,
        )
    ),
    test_cfg=dict(mask=dict(mask_thr_binary=0.5)),
)
