_base_ = './vit-fpn-b-mae_mask-rcnn_lsj-100e_coco.py'

model = dict(
    backbone=dict(
        arch='large',
        out_indices=(5, 11, 17, 23),
        drop_path_rate=0.3,
        init_cfg=dict(checkpoint=_base_.mae.large),
    ),
    neck=[
        dict(type='mmvitdense.ViTFPN', in_channels=1024),
        dict(
            type='FPN',
            in_channels=[1024, 1024, 1024, 1024],
            out_channels=256,
            num_outs=5,
            norm_cfg=dict(type='SyncBN', requires_grad=True),
        ),
    ],
)
