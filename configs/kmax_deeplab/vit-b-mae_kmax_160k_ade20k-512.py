_base_ = [
    '../_base_/models/kmax_semantic.py',
    '../_base_/datasets/ade20k-512.py',
    '../_base_/schedules/vit_160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/tta_segmentation.py',
    '../_base_/pretrainings/mae.py',
]

model = dict(backbone=dict(init_cfg=dict(type='ViTPretrained', checkpoint=_base_.mae.base)))
# As the published recipe has it.
no_decay = dict(decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(cluster_centers=no_decay, query_table=no_decay, key_table=no_decay, value_table=no_decay)
    ),
)
