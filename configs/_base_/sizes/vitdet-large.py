# ViT-L in ViTDet.
size = dict(
    vit=dict(arch='large', drop_path_rate=0.4),
    neck=dict(in_channels=1024),
    optim_wrapper=dict(paramwise_cfg=dict(layer_decay_rate=0.8)),
)
