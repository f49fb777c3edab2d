# SETR-PUP (arXiv 2012.15840) on a ViT-B of AugReg, with three auxiliary heads, as mmseg's setr_vit-l_pup.
norm_cfg = dict(type='SyncBN', requires_grad=True)
num_classes = 150
width = 768
auxiliary = dict(
    type='SETRUPHead',
    in_channels=width,
    channels=256,
    num_classes=num_classes,
    dropout_ratio=0,
    norm_cfg=norm_cfg,
    num_convs=2,
    up_scale=4,
    kernel_size=3,
    align_corners=False,
    loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4),
)
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
        out_indices=(4, 6, 9, 11),
    ),
    decode_head=dict(
        type='SETRUPHead',
        in_channels=width,
        in_index=3,
        channels=256,
        num_classes=num_classes,
        dropout_ratio=0,
        norm_cfg=norm_cfg,
        num_convs=4,
        up_scale=2,
        kernel_size=3,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=[dict(in_index=0, **auxiliary), dict(in_index=1, **auxiliary), dict(in_index=2, **auxiliary)],
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
