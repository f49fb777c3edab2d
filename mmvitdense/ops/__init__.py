"""Deformable kernels, linear layers and soft NMS. Imports torch and nothing of OpenMMLab.

Compiled kernels are built at the first use of an op, never at import; see `backend` and `set_backend`.
"""

from .backends import backend, set_backend
from .functions import ms_deform_attn, ms_deform_attn_fused
from .linear_layer import Linear, apply_linear, linear
from .map_attention import has_map_attention, map_attention
from .module import MultiScaleDeformableAttention
from .packed_linear import PackedLinear, can_pack
from .suppression import soft_nms
from .winograd import WinogradConv2d, can_transform

__all__ = [
    'Linear',
    'MultiScaleDeformableAttention',
    'PackedLinear',
    'WinogradConv2d',
    'apply_linear',
    'backend',
    'can_pack',
    'can_transform',
    'has_map_attention',
    'linear',
    'map_attention',
    'ms_deform_attn',
    'ms_deform_attn_fused',
    'set_backend',
    'soft_nms',
]
