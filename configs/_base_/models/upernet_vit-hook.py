# UPerNet on ViT-Hook-B: full self-attention of the branch, deformable attention to the last map of the ViT.
_base_ = './upernet_vit-adapter.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvitdense.ViTHook',
        vit=dict(
            arch='base',
            pretrain_img_size=224,
            pos_embed_cls_slot=True,
            layer_scale_init=1.0,
            pos_resize=dict(antialias=True),
            drop_path_rate=0.3,
        ),
        deform_num_heads=12,
        drop_path_rate=0.3,
        pos_img_size=512,
        norm_cfg=dict(type='SyncBN'),
    ),
    decode_head=dict(in_channels=[768, 768, 768, 768]),
    auxiliary_head=dict(in_channels=768),
)
