# The recipe of ViT-CoMer-L is not released: this is ViT-Adapter's.
_base_ = [
    './vit-comer-s-deit_mask-rcnn_ms-1x_coco.py',
    '../_base_/sizes/adapter-large.py',
    '../_base_/pretrainings/augreg.py',
]

model = dict(
    data_preprocessor=_base_.augreg.pixels,
    backbone=dict(
        vit=dict(**_base_.size.vit, pretrain_img_size=384, init_cfg=dict(checkpoint=_base_.augreg.large_384)),
        **_base_.size.adapter,
    ),
    neck=dict(in_channels=_base_.size.maps),
)
optim_wrapper = dict(
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.8, flat_decay_mult=0.0),
)
