_base_ = ['./vitdet-b-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/pretrainings/sam.py']

model = dict(
    backbone=dict(
        _delete_=True,
        **_base_.preset_vit,
        preset='sam-base',
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.sam.base),
    ),
)
