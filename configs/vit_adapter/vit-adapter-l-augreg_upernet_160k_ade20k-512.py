_base_ = './vit-adapter-s-deit_upernet_160k_ade20k-512.py'

model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        vit=dict(
            arch='large',
            pretrain_img_size=384,
            drop_path_rate=0.4,
            init_cfg=dict(
                checkpoint='https://huggingface.co/timm/vit_large_patch16_384.augreg_in21k_ft_in1k/resolve/main/model.safetensors'
            ),
        ),
        deform_num_heads=16,
        deform_ratio=0.5,
        with_cp=True,
    ),
    decode_head=dict(in_channels=[1024, 1024, 1024, 1024]),
    auxiliary_head=dict(in_channels=1024),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=2e-5, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(layer_decay_rate=0.95, flat_decay_mult=0.0),
)
