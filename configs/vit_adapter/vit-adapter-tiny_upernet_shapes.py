# The twin of ViT-CoMer on the built-in shapes, with ViT-Adapter in its place.
_base_ = '../vit_comer/vit-comer-tiny_upernet_shapes.py'

model = dict(backbone=dict(type='mmvitdense.ViTAdapter'))
