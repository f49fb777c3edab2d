# As with ViT-B: relative positions of the pre-training, absolute ones at random.
_base_ = ['./vit-fpn-l-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/pretrainings/beit.py']

model = dict(
    data_preprocessor=_base_.beit.pixels,
    backbone=dict(
        qkv_bias='qv',
        layer_scale_init=1e-5,
        init_cfg=dict(
            checkpoint=_base_.beit.large,
            as_initialized=['pos_embed'],
        ),
    ),
)
