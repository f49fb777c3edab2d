"""Backbones: an image in, a tuple of feature maps out."""

from .plain_vit import PlainViT
from .vit_adapter import ViTAdapter
from .vit_comer import ViTCoMer

__all__ = ['PlainViT', 'ViTAdapter', 'ViTCoMer']
