# mmseg's DPT (arXiv 2103.13413) on four maps of a ViT-B of AugReg with their class tokens.
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
        type='mmvitdense.ViTTaps',
        vit=dict(arch='base', img_size=512, pretrain_img_size=384, with_cls_token=True),
        out_indices=(2, 5, 8, 11),
        norm=False,
        with_cls_token=True,
        centre=False,
    ),
    decode_head=dict(
        type='DPTHead',
        in_channels=[768, 768, 768, 768],
        in_index=[0, 1, 2, 3],
        input_transform='multiple_select',
        embed_dims=768,
        post_process_channels=[96, 192, 384, 768],
        readout_type='project',
        channels=256,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
