_base_ = ['./vit-b-mae_upernet-multilevel_160k_ade20k-512.py', '../_base_/pretrainings/dinov3.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        preset='dinov3-base',
        img_size=512,
        out_indices=(3, 5, 7, 11),
        drop_path_rate=0.1,
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.dinov3.base),
    ),
)
