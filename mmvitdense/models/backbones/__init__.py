"""Backbones: an image in, a tuple of feature maps out."""

from .plain_vit import PlainViT

__all__ = ['PlainViT']
