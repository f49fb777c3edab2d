# ViT-B inside ViT-Adapter and ViT-CoMer.
size = dict(
    vit=dict(arch='base', drop_path_rate=0.3),
    adapter=dict(deform_num_heads=12, deform_ratio=0.5),
    maps=[768, 768, 768, 768],
)
