_base_ = './vit-hook-b-deit_upernet_160k_ade20k-512.py'

model = dict(
    backbone=dict(
        vit=dict(arch='small', drop_path_rate=0.2, init_cfg=dict(checkpoint=_base_.deit.small)),
        deform_num_heads=6,
        deform_ratio=1.0,
        drop_path_rate=0.0,
    ),
    decode_head=dict(in_channels=[384, 384, 384, 384]),
    auxiliary_head=dict(in_channels=384),
)
optim_wrapper = dict(
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    optimizer=dict(lr=6e-5, weight_decay=0.01),
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.95, flat_decay_mult=0.0),
)
