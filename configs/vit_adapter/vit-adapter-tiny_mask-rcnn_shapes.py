# The recipe, the heads and the ViT of the quick-start's ViTDet, with ViT-Adapter around it. Patches have twice the side, because
# the adapter works at strides 4 to 32, and windows as many pixels; there is one level more.
_base_ = '../quickstart/vitdet-tiny_mask-rcnn_shapes.py'

channels = 64
strides = [4, 8, 16, 32]
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.ViTAdapter',
        vit=dict(
            embed_dims=96,
            num_layers=4,
            num_heads=3,
            img_size=128,
            pretrain_img_size=128,
            window_size=4,
            global_blocks=(1, 3),
            rel_pos='decomposed',
        ),
        conv_inplane=32,
    ),
    neck=dict(_delete_=True, type='FPN', in_channels=[96, 96, 96, 96], out_channels=channels, num_outs=4),
    rpn_head=dict(anchor_generator=dict(strides=strides)),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=strides),
        mask_roi_extractor=dict(featmap_strides=strides),
    ),
)
