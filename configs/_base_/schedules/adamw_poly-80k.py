# 80k iterations with the layer decay of BEiT-L, otherwise as adamw_poly-160k.py.
_base_ = './adamw_poly-160k.py'

max_iters = 80000
train_cfg = dict(max_iters=max_iters, val_interval=8000)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, by_epoch=False, begin=0, end=max_iters),
]
optim_wrapper = dict(
    optimizer=dict(lr=2e-5, weight_decay=0.05),
    paramwise_cfg=dict(
        layer_decay_rate=0.9,
        # The official code gives these the rate of the patch embedding, the lowest of all.
        lowest_rate_names=[
            'decode_head.mask_embed',
            'decode_head.cls_embed',
            'decode_head.level_embed',
            'decode_head.query_embed',
            'decode_head.query_feat',
        ],
    ),
)
