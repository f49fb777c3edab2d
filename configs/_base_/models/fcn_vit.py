# mmseg's FCN head on the last map of a ViT-B of AugReg.
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='mmvitdense.WindowedEncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    backbone=dict(
        type='mmvitdense.PlainViT',
        arch='base',
        img_size=512,
        pretrain_img_size=384,
        with_cls_token=True,
        final_norm='last',
        drop_path_rate=0.1,
    ),
    decode_head=dict(
        type='FCNHead',
        in_channels=768,
        channels=256,
        num_convs=2,
        concat_input=True,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
