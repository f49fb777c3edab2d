_base_ = [
    './vit-adapter-s-deit_upernet_160k_ade20k-512.py',
    '../_base_/sizes/adapter-large.py',
    '../_base_/pretrainings/augreg.py',
]

model = dict(
    data_preprocessor=_base_.augreg.pixels,
    backbone=dict(
        vit=dict(**_base_.size.vit, pretrain_img_size=384, init_cfg=dict(checkpoint=_base_.augreg.large_384)),
        **_base_.size.adapter,
        with_cp=True,
    ),
    decode_head=dict(in_channels=_base_.size.maps),
    auxiliary_head=dict(in_channels=_base_.size.maps[0]),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=2e-5, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(layer_decay_rate=0.95, flat_decay_mult=0.0),
)
