# The recipe of ViT-CoMer-L is not released: this is ViT-Adapter's. The width of the multi-receptive-field pyramid is that
# of the published Mask2Former of the same size.
_base_ = '../vit_adapter/vit-adapter-l-augreg_upernet_160k_ade20k-512.py'

model = dict(backbone=dict(type='mmvitdense.ViTCoMer', mrfp_ratio=6.0))
