# As DINOv3 released it for COCO (dinov3/hub/detectors.py): nine windows and the whole image, width 768, 1500 queries. Its recipe of
# training and the size of its images are not released: those here are ours.
_base_ = [
    '../_base_/models/plain-detr_vit.py',
    '../_base_/datasets/coco_detection_detr.py',
    '../_base_/schedules/plain-detr_24e.py',
    '../_base_/runtime_detection_epochs.py',
    '../_base_/pretrainings/dinov3.py',
]

attention = dict(embed_dims=768)
model = dict(
    num_queries=1500,
    num_one2many=1500,
    backbone=dict(
        num_windows=3,
        vit=dict(
            preset='dinov3-7b',
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.seven_billion),
        ),
    ),
    neck=dict(in_channels=[32768], out_channels=768),
    encoder=dict(num_cp=6, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=attention)),
    decoder=dict(num_cp=6, layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=attention)),
    bbox_head=dict(embed_dims=768),
    test_cfg=dict(max_per_img=1500),
)

scales = [(side, 2048) for side in range(768, 1537, 64)]
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomChoiceResize', scales=scales, keep_ratio=True),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='Resize', scale=(2048, 1536), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
