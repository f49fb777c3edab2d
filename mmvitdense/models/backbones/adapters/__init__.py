"""What ViT-Adapter and ViT-CoMer share: a plain ViT and a convolutional branch that exchange between stages."""

from .conv_ffn import ConvFFN, depthwise_conv
from .deformable_exchange import DeformableExchange, Extractor, Sampling
from .interaction import VIT_LEVEL, InteractionBackbone, per_stage
from .spatial_prior import SpatialPriorModule
from .token_levels import TokenLevels

__all__ = [
    'VIT_LEVEL',
    'ConvFFN',
    'DeformableExchange',
    'Extractor',
    'InteractionBackbone',
    'Sampling',
    'SpatialPriorModule',
    'TokenLevels',
    'depthwise_conv',
    'per_stage',
]
