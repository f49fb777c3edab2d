# ATSS (arXiv 1912.02424) in the place of the heads of any Mask R-CNN here, as boxes_retinanet.py is used.
_base_ = './boxes_retinanet.py'

head = _base_.retinanet.bbox_head
atss = dict(
    _base_.retinanet,
    type='ATSS',
    bbox_head=dict(
        head,
        type='ATSSHead',
        anchor_generator=dict(head.anchor_generator, ratios=[1.0], octave_base_scale=8, scales_per_octave=1),
        bbox_coder=dict(head.bbox_coder, target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
    ),
    train_cfg=dict(_base_.retinanet.train_cfg, assigner=dict(type='ATSSAssigner', topk=9)),
    test_cfg=dict(_base_.retinanet.test_cfg, nms=dict(type='nms', iou_threshold=0.6)),
)
