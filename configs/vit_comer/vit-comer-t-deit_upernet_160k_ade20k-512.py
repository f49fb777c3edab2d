_base_ = '../vit_adapter/vit-adapter-t-deit_upernet_160k_ade20k-512.py'

model = dict(backbone=dict(type='mmvitdense.ViTCoMer', mrfp_ratio=6.0))
