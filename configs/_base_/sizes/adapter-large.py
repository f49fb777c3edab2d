# ViT-L inside ViT-Adapter and ViT-CoMer.
size = dict(
    vit=dict(arch='large', drop_path_rate=0.4),
    adapter=dict(deform_num_heads=16, deform_ratio=0.5),
    maps=[1024, 1024, 1024, 1024],
)
