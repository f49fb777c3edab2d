# The recipe, the heads and the ViT of the quick-start's segmentor, with ViT-CoMer around it. Patches have twice the side,
# because the adapter works at strides 4 to 32, and windows as many pixels; its four maps need no neck.
_base_ = '../quickstart/vit-tiny_upernet_shapes.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.ViTCoMer',
        vit=dict(
            embed_dims=96,
            num_layers=4,
            num_heads=3,
            img_size=128,
            pretrain_img_size=128,
            window_size=4,
            global_blocks=(1, 3),
            rel_pos='decomposed',
            init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
        ),
        conv_inplane=32,
        vit_feature='stagewise',
    ),
    neck=None,
    decode_head=dict(in_channels=[96, 96, 96, 96], in_index=[0, 1, 2, 3]),
    auxiliary_head=dict(in_channels=96, in_index=2),
)
