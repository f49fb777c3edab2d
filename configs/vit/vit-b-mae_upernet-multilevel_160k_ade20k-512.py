# The outputs of blocks 3, 5, 7 and 11, rescaled to strides 4 to 32 by mmseg's neck: the usual UPerNet on MAE and BEiT.
_base_ = [
    '../_base_/models/upernet_vit.py',
    '../_base_/datasets/ade20k-512.py',
    '../_base_/schedules/vit_160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/mae.py',
]

# Any ViT-B by its preset in the place of this one: `backbone=dict(_delete_=True, **_base_.preset_vit, preset=...)`.
preset_vit = dict(type='mmvitdense.PlainViT', img_size=512, out_indices=(3, 5, 7, 11), drop_path_rate=0.1)
model = dict(
    backbone=dict(
        with_cls_token=True,
        out_indices=(3, 5, 7, 11),
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base),
    ),
    neck=dict(type='Feature2Pyramid', embed_dim=768, rescales=[4, 2, 1, 0.5]),
)
