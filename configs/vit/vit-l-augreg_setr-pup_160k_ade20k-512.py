_base_ = './vit-b-augreg_setr-pup_160k_ade20k-512.py'

auxiliary = dict(
    type='SETRUPHead',
    in_channels=1024,
    channels=256,
    num_classes=150,
    dropout_ratio=0,
    norm_cfg=dict(type='SyncBN', requires_grad=True),
    num_convs=2,
    up_scale=4,
    kernel_size=3,
    align_corners=False,
    loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4),
)
model = dict(
    backbone=dict(arch='large', out_indices=(9, 14, 19, 23), init_cfg=dict(checkpoint=_base_.augreg.large_384)),
    decode_head=dict(in_channels=1024),
    auxiliary_head=[dict(**auxiliary, in_index=index) for index in range(3)],
)
