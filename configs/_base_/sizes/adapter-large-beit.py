# ViT-L of BEiT inside ViT-Adapter for detection: no absolute positions, tables of relative ones for the windows, which are
# of 56 tokens in the last block of each stage and of 14 in the others.
size = dict(
    vit=dict(
        arch='large',
        pretrain_img_size=224,
        pos_embed=None,
        rel_pos='bias',
        rel_pos_at='window',
        qkv_bias='qv',
        layer_scale_init=1e-6,
        window_size=[14, 14, 14, 14, 14, 56] * 4,
        drop_path_rate=0.4,
    ),
    adapter=dict(deform_num_heads=16, deform_ratio=0.5, gamma_init=1e-6),
    maps=[1024, 1024, 1024, 1024],
)
