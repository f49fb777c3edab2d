_base_ = './vitdet-b-mae_mask-rcnn_lsj-100e_lvis-v1.py'

model = dict(
    backbone=dict(
        arch='huge',
        drop_path_rate=0.4,
        # MAE's ViT-H with its patch embedding resized from 14 to 16 pixels, published with ViTDet.
        init_cfg=dict(
            checkpoint=_base_.mae.huge_patch16,
        ),
    ),
    neck=dict(in_channels=1280),
)
# ViT-H decays norms and the position table like everything else.
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.9))
