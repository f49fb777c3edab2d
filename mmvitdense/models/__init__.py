"""Backbones and necks, importable without mmdet and mmseg."""

from mmvitdense.layers import LayerNorm2d
from mmvitdense.registry import MODELS

from .backbones import MIMDet, PlainViT, TimmViT, ViTAdapter, ViTCoMer, ViTTaps
from .necks import SimpleFeaturePyramid, ViTFPN

# Heads of mmdet and mmseg take it as ``norm_cfg=dict(type='mmvitdense.LayerNorm2d', eps=1e-6)``.
MODELS.register_module(module=LayerNorm2d)

__all__ = [
    'LayerNorm2d',
    'MIMDet',
    'PlainViT',
    'SimpleFeaturePyramid',
    'TimmViT',
    'ViTAdapter',
    'ViTCoMer',
    'ViTFPN',
    'ViTTaps',
]
