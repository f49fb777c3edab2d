# The tables of relative positions come from the pre-training, resized; it has no absolute positions, which start at random.
_base_ = ['./vit-fpn-b-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/pretrainings/beit.py']

model = dict(
    data_preprocessor=_base_.beit.pixels,
    backbone=dict(
        qkv_bias='qv',
        layer_scale_init=0.1,
        init_cfg=dict(
            checkpoint=_base_.beit.base,
            as_initialized=['pos_embed'],
        ),
    ),
)
