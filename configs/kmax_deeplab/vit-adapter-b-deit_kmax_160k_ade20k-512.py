# The four maps of ViT-Adapter need no pyramid.
_base_ = [
    '../_base_/models/kmax_semantic.py',
    '../_base_/sizes/adapter-base.py',
    '../_base_/datasets/ade20k-512_multiple-32.py',
    '../_base_/schedules/vit_160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/deit.py',
]

kmax = _base_.model.neck[1]
kmax.in_channels = _base_.size.maps
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.ViTAdapter',
        vit=dict(
            pretrain_img_size=224,
            pos_embed_cls_slot=True,
            layer_scale_init=1.0,
            init_cfg=dict(type='ViTPretrained', checkpoint=_base_.deit.base, known=['act', 'pos_resize']),
            **_base_.size.vit,
        ),
        vit_feature='stagewise',
        norm_cfg=dict(type='SyncBN'),
        **_base_.size.adapter,
    ),
    neck=[kmax],
)
# As the published recipe has it.
no_decay = dict(decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(cluster_centers=no_decay, query_table=no_decay, key_table=no_decay, value_table=no_decay)
    ),
)
