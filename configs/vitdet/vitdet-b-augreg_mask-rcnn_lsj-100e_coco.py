_base_ = ['./vitdet-b-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/pretrainings/augreg.py']

model = dict(
    data_preprocessor=_base_.augreg.pixels,
    backbone=dict(
        _delete_=True,
        **_base_.preset_vit,
        preset='augreg-base',
        window_size=14,
        rel_pos='decomposed',
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.augreg.base),
    ),
)
