# As adamw_coco-3x.py with the layer decay of ViT-L and no decay of what has one dimension.
_base_ = './adamw_coco-3x.py'

optim_wrapper = dict(
    constructor='mmvitdense.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.9, flat_decay_mult=0.0),
)
