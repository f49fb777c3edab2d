_base_ = './vitdet-b-mae_mask-rcnn_lsj-100e_coco.py'

model = dict(
    backbone=dict(
        arch='huge',
        drop_path_rate=0.5,
        # MAE's ViT-H with its patch embedding resized from 14 to 16 pixels, published with ViTDet.
        init_cfg=dict(
            checkpoint=_base_.mae.huge_patch16,
        ),
    ),
    neck=dict(in_channels=1280),
)

# 75 epochs. The fraction of the warm-up is not rescaled in the published config, which makes 188 iterations of 250.
max_iters = 138281
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=188),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[122916, 133159], gamma=0.1),
]
# ViT-H decays norms and the position table like everything else.
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.9))
