_base_ = [
    '../_base_/models/pem_panoptic.py',
    '../_base_/datasets/ade20k_panoptic_jitter-640.py',
    '../_base_/schedules/vit_160k.py',
    '../_base_/runtime_detection.py',
    '../_base_/pretrainings/mae.py',
]

model = dict(backbone=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base)))
# As the published recipe has it for the queries and levels, and the norm of the gradient.
no_decay = dict(decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(query_feat=no_decay, query_embed=no_decay, level_embed=no_decay)),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
