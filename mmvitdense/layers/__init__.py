"""Parts of a ViT as plain modules: torch and torchvision, nothing of OpenMMLab."""

from .attention import Attention
from .block import TransformerBlock
from .conv_propagation import ConvPropagation
from .ffn import Mlp
from .layer_scale import LayerScale
from .norm import LayerNorm2d
from .patch_embed import PatchEmbed
from .position import resize_position_table
from .relative_position import attention_with_relative_position
from .window import pad_to_windows, window_merge, window_partition

__all__ = [
    'Attention',
    'ConvPropagation',
    'LayerNorm2d',
    'LayerScale',
    'Mlp',
    'PatchEmbed',
    'TransformerBlock',
    'attention_with_relative_position',
    'pad_to_windows',
    'resize_position_table',
    'window_merge',
    'window_partition',
]
