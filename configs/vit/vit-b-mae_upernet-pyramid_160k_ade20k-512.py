# All four levels from the last map, by ViTDet's simple feature pyramid.
_base_ = './vit-b-mae_upernet-multilevel_160k_ade20k-512.py'

model = dict(
    backbone=dict(out_indices=-1),
    neck=dict(_delete_=True, type='mmvitdense.SimpleFeaturePyramid', in_channels=768),
    decode_head=dict(in_channels=[256, 256, 256, 256], channels=512),
    auxiliary_head=dict(in_channels=256),
)
