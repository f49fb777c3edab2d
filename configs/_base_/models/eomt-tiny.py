# A ViT for the built-in shapes, small enough to be trained from scratch on a CPU.
tiny_vit = dict(
    _delete_=True,
    embed_dims=96,
    num_layers=4,
    num_heads=3,
    patch_size=8,
    img_size=128,
    # The usual normal of 0.02 is too small for so narrow a model trained from scratch.
    init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
)
