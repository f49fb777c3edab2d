# The four maps of ViT-Adapter need no pyramid.
_base_ = [
    '../_base_/models/pem_semantic.py',
    '../_base_/sizes/adapter-base.py',
    '../_base_/datasets/ade20k-512_multiple-32.py',
    '../_base_/schedules/vit_160k.py',
    '../_base_/runtime_segmentation.py',
    '../_base_/pretrainings/deit.py',
]

pem = _base_.model.neck[1]
pem.in_channels = _base_.size.maps
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
    neck=[pem],
)
# As the published recipe has it for the queries and levels, and the norm of the gradient.
no_decay = dict(decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(query_feat=no_decay, query_embed=no_decay, level_embed=no_decay)),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
