_base_ = ['./vit-b-mae_upernet-multilevel_160k_ade20k-512.py', '../_base_/pretrainings/beit.py']

model = dict(
    data_preprocessor=_base_.beit.pixels,
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        preset='beit-base',
        img_size=512,
        out_indices=(3, 5, 7, 11),
        drop_path_rate=0.1,
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.beit.base_tuned),
    ),
)
