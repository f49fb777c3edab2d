# HTC++ of ViT-Adapter in six sizes and their mirror images, each size for objects of some sizes alone, for tools/test.py --tta.
tta_model = dict(
    type='mmvitdense.HTCTTAModel',
    tta_cfg=dict(
        score_thr=0.001,
        nms=dict(type='soft_nms', iou_threshold=0.5),
        max_per_img=1000,
        scale_ranges=[['l'], ['l'], ['m', 'l'], ['s', 'm'], ['s', 'm'], ['s', 'm']],
    ),
)
tta_scales = [(3000, 600), (3000, 800), (3000, 1000), (3000, 1200), (3000, 1400), (3000, 1600)]
tta_meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=scale, keep_ratio=True) for scale in tta_scales],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='LoadAnnotations', with_bbox=True, with_mask=True)],
            [dict(type='PackDetInputs', meta_keys=tta_meta_keys)],
        ],
    ),
]
