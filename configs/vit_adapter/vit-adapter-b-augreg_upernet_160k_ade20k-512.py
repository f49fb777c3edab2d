# Unlike the other segmentors: no layer decay, and ten times the rate for everything with 'head' in its name.
_base_ = ['./vit-adapter-b-deit_upernet_160k_ade20k-512.py', '../_base_/pretrainings/augreg.py']

model = dict(
    data_preprocessor=_base_.augreg.pixels,
    backbone=dict(vit=dict(pretrain_img_size=384, init_cfg=dict(checkpoint=_base_.augreg.base_384))),
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
