# Patches of 14 pixels are resized to 16 as the weights load, so that strides are powers of two.
_base_ = './vit-b-mae_upernet-multilevel_160k_ade20k-512.py'

model = dict(
    data_preprocessor=dict(
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6321579, 70.3231626],
    ),
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        preset='eva02-base',
        patch_size=16,
        img_size=512,
        out_indices=(3, 5, 7, 11),
        drop_path_rate=0.1,
        init_cfg=dict(
            type='ViTPretrained',
            checkpoint='https://huggingface.co/timm/eva02_base_patch14_224.mim_in22k/resolve/main/model.safetensors',
        ),
    ),
)
