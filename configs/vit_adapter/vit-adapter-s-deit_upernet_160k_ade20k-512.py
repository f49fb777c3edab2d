_base_ = [
    '../_base_/models/upernet_vit-adapter.py',
    '../_base_/datasets/ade20k-512_multiple-32.py',
    '../_base_/schedules/adamw_poly-160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/deit.py',
]

model = dict(
    backbone=dict(
        vit=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.deit.small, known=['act', 'pos_resize']))
    )
)
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale=dict(init_scale=512))
