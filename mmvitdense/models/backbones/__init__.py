"""Backbones: an image in, a tuple of feature maps out."""

from .lifted_vit import LiftedViT
from .mimdet import MIMDet
from .plain_vit import PlainViT
from .timm_vit import TimmViT
from .vit import BaseViT, StemlessViT, ViT, ViTWithKeys, ViTWithPatchKernel
from .vit_adapter import ViTAdapter
from .vit_comer import ViTCoMer
from .vit_hook import ViTHook
from .vit_taps import ViTTaps
from .vpnext_vit import VPNeXtViT
from .windowed_taps import WindowedTaps

__all__ = [
    'BaseViT',
    'LiftedViT',
    'MIMDet',
    'PlainViT',
    'StemlessViT',
    'TimmViT',
    'VPNeXtViT',
    'ViT',
    'ViTAdapter',
    'ViTCoMer',
    'ViTHook',
    'ViTTaps',
    'ViTWithKeys',
    'ViTWithPatchKernel',
    'WindowedTaps',
]
