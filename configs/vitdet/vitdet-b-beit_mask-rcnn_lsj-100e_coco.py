# The table of relative positions fits windows of 14 tokens as it is. At 64 x 64 tokens it would be a bias of
# 4096 x 4096 for each head, so windows exchange through convolutions (ViTDet, section 4.1) instead of global blocks.
_base_ = ['./vitdet-b-mae_mask-rcnn_lsj-100e_coco.py', '../_base_/pretrainings/beit.py']

model = dict(
    data_preprocessor=_base_.beit.pixels,
    backbone=dict(
        _delete_=True,
        **_base_.preset_vit,
        preset='beit-base',
        with_cls_token=False,
        window_size=14,
        global_blocks=(),
        conv_blocks=(2, 5, 8, 11),
        init_cfg=dict(type='ViTPretrained', checkpoint=_base_.beit.base_tuned),
    ),
)
