_base_ = './vit-comer-s-deit_upernet_160k_ade20k-512.py'

model = dict(
    backbone=dict(
        vit=dict(
            arch='base',
            drop_path_rate=0.3,
            init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_base_patch16_224-b5f2ef4d.pth'),
        ),
        deform_num_heads=12,
        deform_ratio=0.5,
        mrfp_ratio=1.0,
    ),
    decode_head=dict(in_channels=[768, 768, 768, 768]),
    auxiliary_head=dict(in_channels=768),
)
