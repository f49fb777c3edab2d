"""Parts of a ViT as plain modules: torch and torchvision, nothing of OpenMMLab."""

from .attention import Attention
from .block import TransformerBlock
from .box_attention import BoxAttention
from .conv_propagation import ConvPropagation
from .deformable_conv import deformable_conv
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
from .low_rank import LowRankLinear
from .neighborhood import NeighborhoodAttention
from .norm import TOKEN_NORMS, BatchNorm2d, LayerNorm2d, RMSNorm, SyncBatchNorm, build_norm2d
from .patch_embed import ConvPatchEmbed, PatchEmbed, build_patch_embed
from .positions import (
    RECORD,
    AttentionPosition,
    BiasTable,
    DecomposedTables,
    RecordsPositions,
    RelativePositionBias,
    SinCosPositions,
    SineConvPositions,
    attention_with_relative_position,
    build_rope,
    half_pairing,
    resize_bias_table,
    resize_position_table,
    rotate,
    sincos_position_table,
)
from .precision import without_autocast
from .query_mask import QueryMask, QueryMasking
from .recompute import recomputed
from .up_conv import UpConv2d
from .value_conv import ValueConv
from .window import pad_to_windows, window_merge, window_partition

__all__ = [
    'RECORD',
    'TOKEN_NORMS',
    'Attention',
    'AttentionPosition',
    'BatchNorm2d',
    'BiasTable',
    'BoxAttention',
    'ConvPatchEmbed',
    'ConvPropagation',
    'DecomposedTables',
    'HoldsViT',
    'LayerNorm2d',
    'LayerScale',
    'LowRankLinear',
    'Mlp',
    'NeighborhoodAttention',
    'PatchEmbed',
    'QueryMask',
    'QueryMasking',
    'RMSNorm',
    'RecordsPositions',
    'RelativePositionBias',
    'SelfInitialized',
    'SinCosPositions',
    'SineConvPositions',
    'SwiGLU',
    'SyncBatchNorm',
    'TransformerBlock',
    'UpConv2d',
    'ValueConv',
    'attention_with_relative_position',
    'build_norm2d',
    'build_patch_embed',
    'build_rope',
    'constructed_undrawn',
    'deformable_conv',
    'draw_adapter_conv',
    'draw_vit_linear',
    'draw_xavier_linear',
    'half_pairing',
    'held_vit',
    'pad_to_windows',
    'recomputed',
    'resize_bias_table',
    'resize_position_table',
    'rotate',
    'sincos_position_table',
    'window_merge',
    'window_partition',
    'without_autocast',
]
