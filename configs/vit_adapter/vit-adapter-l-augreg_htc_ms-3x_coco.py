_base_ = [
    '../_base_/models/htc_vit-adapter.py',
    '../_base_/datasets/coco_instance_stuff-1600.py',
    '../_base_/schedules/layer-decay_coco-3x.py',
    '../_base_/runtime_detection_epochs.py',
    '../_base_/sizes/adapter-large.py',
    '../_base_/pretrainings/augreg.py',
    '../_base_/tta_htc.py',
]

model = dict(
    backbone=dict(
        vit=dict(
            **_base_.size.vit,
            pretrain_img_size=384,
            pos_embed_cls_slot=True,
            window_size=14,
            window_pad='qkv',
            layer_scale_init=1.0,
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.augreg.large_384),
        ),
        **_base_.size.adapter,
        with_cp=True,
    ),
    test_cfg=dict(rcnn=dict(max_per_img=300)),
)
# Of the attention before the pyramid.
model['neck'] = _base_.model.neck
model['neck'][0]['drop_path_rate'] = 0.4
# Views of this one are at most 1600 pixels long.
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1]['transforms'][0] = [
    dict(type='Resize', scale=(1600, short), keep_ratio=True) for short in (600, 800, 1000, 1200, 1400, 1600)
]
