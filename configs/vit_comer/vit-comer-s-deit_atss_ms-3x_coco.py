# ViT-CoMer's configs of this head are not released: this is ViT-Adapter's.
_base_ = '../vit_adapter/vit-adapter-s-deit_atss_ms-3x_coco.py'

model = dict(backbone=dict(type='mmvitdense.ViTCoMer'))
