"""What ViT-Adapter, ViT-CoMer and ViT-Hook share: a plain ViT and a convolutional branch beside it."""

from .conv_ffn import ConvFFN, depthwise_conv
from .deformable_exchange import DeformableExchange, Extractor, Sampling
from .full_attention import CrossAttention, FullExtractor, LevelAttention
from .interaction import VIT_LEVEL, InteractionBackbone, per_stage
from .spatial_prior import SpatialPriorModule
from .token_levels import TokenLevels

__all__ = [
    'VIT_LEVEL',
    'ConvFFN',
    'CrossAttention',
    'DeformableExchange',
    'Extractor',
    'FullExtractor',
    'InteractionBackbone',
    'LevelAttention',
    'Sampling',
    'SpatialPriorModule',
    'TokenLevels',
    'depthwise_conv',
    'per_stage',
]
