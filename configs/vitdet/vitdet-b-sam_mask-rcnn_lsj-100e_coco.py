_base_ = ['./vitdet-b-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/pretrainings/sam.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        preset='sam-base',
        img_size=1024,
        drop_path_rate=0.1,
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.sam.base),
    ),
)
