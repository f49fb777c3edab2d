_base_ = './vit-b-mae_upernet-multilevel_160k_ade20k-512.py'

model = dict(
    data_preprocessor=dict(
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6321579, 70.3231626],
    ),
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        preset='clip-base-patch16',
        img_size=512,
        out_indices=(3, 5, 7, 11),
        drop_path_rate=0.1,
        init_cfg=dict(
            type='ViTPretrained',
            checkpoint='https://openaipublic.azureedge.net/clip/models/5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt',
        ),
    ),
)
