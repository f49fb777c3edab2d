_base_ = './vit-b-mae_upernet-multilevel_160k_ade20k-512.py'

model = dict(
    data_preprocessor=dict(
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
    ),
    backbone=dict(
        _delete_=True,
        type='mmvitdense.PlainViT',
        preset='augreg-base',
        img_size=512,
        out_indices=(3, 5, 7, 11),
        drop_path_rate=0.1,
        init_cfg=dict(
            type='ViTPretrained',
            checkpoint='https://huggingface.co/timm/vit_base_patch16_224.augreg_in21k/resolve/main/model.safetensors',
        ),
    ),
)
