# ViT-H in ViTDet, which decays norms and the position table like everything else.
size = dict(
    vit=dict(arch='huge'),
    neck=dict(in_channels=1280),
    optim_wrapper=dict(paramwise_cfg=dict(_delete_=True, layer_decay_rate=0.9)),
)
