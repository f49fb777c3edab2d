"""Necks: the maps of a backbone in, the maps that heads want out."""

from .bilinear_upsampler import BilinearUpsampler
from .channel_mapper import ChannelMapperWithPooling
from .extra_attention import ExtraAttention
from .lift import LiFT
from .map_upsampler import MapUpsampler
from .naf import NAF
from .sfp import SFP
from .simple_feature_pyramid import SimpleFeaturePyramid
from .vit_fpn import ViTFPN

__all__ = [
    'NAF',
    'SFP',
    'BilinearUpsampler',
    'ChannelMapperWithPooling',
    'ExtraAttention',
    'LiFT',
    'MapUpsampler',
    'SimpleFeaturePyramid',
    'ViTFPN',
]
