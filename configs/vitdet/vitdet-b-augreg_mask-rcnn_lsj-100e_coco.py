_base_ = ['./vitdet-b-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/pretrainings/augreg.py']

model = dict(
    data_preprocessor=_base_.augreg.pixels,
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        preset='augreg-base',
        img_size=1024,
        window_size=14,
        rel_pos='decomposed',
        drop_path_rate=0.1,
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.augreg.base),
    ),
)
