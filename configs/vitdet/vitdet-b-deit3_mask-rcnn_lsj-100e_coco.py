_base_ = ['./vitdet-b-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/pretrainings/deit3.py']

model = dict(
    backbone=dict(
        _delete_=True,
        **_base_.preset_vit,
        preset='deit3-base',
        window_size=14,
        rel_pos='decomposed',
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.deit3.base),
    ),
)
