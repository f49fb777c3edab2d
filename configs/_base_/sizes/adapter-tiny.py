# ViT-T inside ViT-Adapter and ViT-CoMer.
size = dict(vit=dict(arch='tiny', drop_path_rate=0.1), adapter=dict(), maps=[192, 192, 192, 192])
