"""Parts of a ViT as plain modules: torch and torchvision, nothing of OpenMMLab."""

from .attention import Attention, AttentionPosition
from .block import TransformerBlock
from .conv_ffn import ConvFFN, depthwise_conv
from .conv_propagation import ConvPropagation
from .conv_stem import ConvStem
from .deformable_exchange import DeformableExchange, Extractor, Sampling
from .ffn import Mlp, SwiGLU
from .holds_vit import HoldsViT, held_vit
from .initialization import (
    SelfInitialized,
    constructed_undrawn,
    draw_adapter_conv,
    draw_vit_linear,
    draw_xavier_linear,
)
from .layer_scale import LayerScale
from .norm import LayerNorm2d, build_norm2d, with_gradient_layout
from .padding import inside_images
from .patch_embed import PatchEmbed
from .position import resize_position_table, sincos_position_table
from .recorded_positions import RECORD, RecordsPositions
from .relative_position import attention_with_relative_position
from .relative_position_bias import RelativePositionBias, resize_bias_table
from .rope import build_rope, half_pairing
from .spatial_prior import SpatialPriorModule
from .token_levels import TokenLevels
from .window import pad_to_windows, window_merge, window_partition

__all__ = [
    'RECORD',
    'Attention',
    'AttentionPosition',
    'ConvFFN',
    'ConvPropagation',
    'ConvStem',
    'DeformableExchange',
    'Extractor',
    'HoldsViT',
    'LayerNorm2d',
    'LayerScale',
    'Mlp',
    'PatchEmbed',
    'RecordsPositions',
    'RelativePositionBias',
    'Sampling',
    'SelfInitialized',
    'SpatialPriorModule',
    'SwiGLU',
    'TokenLevels',
    'TransformerBlock',
    'attention_with_relative_position',
    'build_norm2d',
    'build_rope',
    'constructed_undrawn',
    'depthwise_conv',
    'draw_adapter_conv',
    'draw_vit_linear',
    'draw_xavier_linear',
    'half_pairing',
    'held_vit',
    'inside_images',
    'pad_to_windows',
    'resize_bias_table',
    'resize_position_table',
    'sincos_position_table',
    'window_merge',
    'window_partition',
    'with_gradient_layout',
]
