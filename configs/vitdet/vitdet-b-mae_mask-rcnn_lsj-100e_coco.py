_base_ = [
    '../_base_/models/mask-rcnn_vitdet.py',
    '../_base_/datasets/coco_instance_lsj-1024.py',
    '../_base_/schedules/vitdet_100e.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/mae.py',
]

# Any ViT-B by its preset in the place of this one: `backbone=dict(_delete_=True, **_base_.preset_vit, preset=...)`, with
# the windows and positions that suit it.
preset_vit = dict(type='mmvitdense.PlainViT', img_size=1024, drop_path_rate=0.1)
model = dict(backbone=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base)))
