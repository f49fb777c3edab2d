_base_ = './vitdet-b-mae_mask-rcnn_lsj-100e_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        preset='deit3-base',
        img_size=1024,
        window_size=14,
        rel_pos='decomposed',
        drop_path_rate=0.1,
        init_cfg=dict(
            type='ViTPretrained',
            checkpoint='https://dl.fbaipublicfiles.com/deit/deit_3_base_224_21k.pth',
        ),
    ),
)
