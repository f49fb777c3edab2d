_base_ = './vit-adapter-s-deit_upernet_160k_ade20k-512.py'

model = dict(
    backbone=dict(
        vit=dict(
            arch='tiny',
            drop_path_rate=0.1,
            init_cfg=dict(checkpoint='https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth'),
        ),
    ),
    decode_head=dict(in_channels=[192, 192, 192, 192]),
    auxiliary_head=dict(in_channels=192),
)
optim_wrapper = dict(optimizer=dict(lr=1.2e-4))
