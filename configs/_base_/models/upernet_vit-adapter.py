# UPerNet on ViT-Adapter-S, with global attention in every block and the map of a stage of the ViT added to each output.
_base_ = './upernet_vit.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.ViTAdapter',
        vit=dict(
            arch='small',
            pretrain_img_size=224,
            pos_embed_cls_slot=True,
            layer_scale_init=1.0,
            drop_path_rate=0.2,
        ),
        vit_feature='stagewise',
        norm_cfg=dict(type='SyncBN'),
    ),
    decode_head=dict(in_channels=[384, 384, 384, 384], channels=512),
    auxiliary_head=dict(in_channels=384),
)
