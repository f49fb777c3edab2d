# Unlike the other segmentors: no layer decay, and ten times the rate for everything with 'head' in its name.
_base_ = './vit-adapter-s-deit_upernet_160k_ade20k-512.py'

model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        vit=dict(
            arch='base',
            pretrain_img_size=384,
            drop_path_rate=0.3,
            init_cfg=dict(
                checkpoint='https://huggingface.co/timm/vit_base_patch16_384.augreg_in21k_ft_in1k/resolve/main/model.safetensors'
            ),
        ),
        deform_num_heads=12,
        deform_ratio=0.5,
    ),
    decode_head=dict(in_channels=[768, 768, 768, 768]),
    auxiliary_head=dict(in_channels=768),
)
optim_wrapper = dict(
    constructor='DefaultOptimWrapperConstructor',
    optimizer=dict(lr=2e-5),
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={
            'head': dict(lr_mult=10.0),
            'level_embed': dict(decay_mult=0.0),
            'pos_embed': dict(decay_mult=0.0),
            'norm': dict(decay_mult=0.0),
            'bias': dict(decay_mult=0.0),
        },
    ),
)
