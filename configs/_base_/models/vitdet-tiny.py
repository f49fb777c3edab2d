# A ViT small enough to be trained from scratch on two CPU cores in minutes, and the width of its pyramid. Configs write
# `backbone=_base_.tiny_vit` over the ViT-B of their base.
tiny_channels = 64
tiny_vit = dict(
    embed_dims=96,
    num_layers=4,
    num_heads=3,
    feedforward_channels=384,
    img_size=128,
    pretrain_img_size=128,
    patch_size=8,
    pos_embed_cls_slot=False,
    window_size=8,
    global_blocks=(1, 3),
    drop_path_rate=0.0,
)
# One map of stride 8 becomes strides 4, 8, 16 and 32.
tiny_pyramid = dict(in_channels=96, out_channels=tiny_channels, scale_factors=(2, 1, 0.5), num_outs=4, extra_convs=True)
# Of detectors without regions: RetinaNet, ATSS and GFL.
tiny_dense_head = dict(
    num_classes=5,
    in_channels=tiny_channels,
    feat_channels=tiny_channels,
    stacked_convs=2,
    anchor_generator=dict(strides=[4, 8, 16, 32]),
)
