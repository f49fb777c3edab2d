"""Backbones: an image in, a tuple of feature maps out."""

from .mimdet import MIMDet
from .plain_vit import PlainViT

__all__ = ['MIMDet', 'PlainViT']
