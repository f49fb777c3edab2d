# Three sizes around that of the test and their mirror images, merged by the soft suppression of Co-DINO (linear, from an
# overlap of 0.8), for tools/test.py --tta. The published figures with it come from a config that was not released: this is
# ours.
tta_model = dict(
    type='DetTTAModel', tta_cfg=dict(nms=dict(type='soft_nms', iou_threshold=0.8, min_score=1e-3), max_per_img=300)
)
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=scale, keep_ratio=True) for scale in ((2048, 1280), (1536, 960), (2560, 1600))],
            [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)],
            [dict(type='LoadAnnotations', with_bbox=True)],
            [
                dict(
                    type='PackDetInputs',
                    meta_keys=(
                        'img_id',
                        'img_path',
                        'ori_shape',
                        'img_shape',
                        'scale_factor',
                        'flip',
                        'flip_direction',
                    ),
                )
            ],
        ],
    ),
]
