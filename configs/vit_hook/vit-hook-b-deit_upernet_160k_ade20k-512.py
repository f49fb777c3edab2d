_base_ = [
    '../_base_/models/upernet_vit-hook.py',
    '../_base_/datasets/ade20k-512_multiple-32.py',
    '../_base_/schedules/adamw_poly-160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/deit.py',
]

model = dict(
    backbone=dict(
        vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.deit.base, known=['act', 'pos_resize']))
    )
)
# The blocks of the ViT learn at a tenth of the rate; weight decay is the same everywhere, as in the released config.
optim_wrapper = dict(
    constructor='mmvitdense.LearningRateOptimWrapperConstructor',
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(_delete_=True, lr_mults={'backbone.vit.blocks': 0.1}),
)
