# IML-ViT (arXiv 2307.14863): the ViT-B and the pyramid of ViTDet, and a head of two linear layers on all levels.
model = dict(
    type='mmvitdense.WindowedEncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(1024, 1024),
        seg_pad_val=0,
    ),
    backbone=dict(
        type='mmvitdense.PlainViT',
        arch='base',
        img_size=1024,
        pretrain_img_size=224,
        pos_embed_cls_slot=True,
        window_size=14,
        rel_pos='decomposed',
        drop_path_rate=0.1,
    ),
    neck=dict(type='mmvitdense.SimpleFeaturePyramid', in_channels=768, num_outs=5),
    decode_head=dict(
        type='mmvitdense.IMLHead',
        in_channels=[256] * 5,
        num_classes=2,
        channels=256,
        norm_cfg=dict(type='SyncBN'),
        loss_decode=dict(type='mmvitdense.EdgeWeightedBCELoss', edge_weight=20.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(768, 768), keep_logits=True),
)
