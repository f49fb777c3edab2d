"""mmcv's deformable attention by our op: its layer by the fused op, its Python path by the classic one.

That is for speed on a CPU and in bfloat16 anywhere, where mmcv has no kernel. And its Python path interpolates with
`F.grid_sample` in the type of the values, which in 16 bits on a CPU reads foreign memory on maps above about 180 x 180,
for a batch of one far below that.
"""

import importlib
from types import ModuleType
from typing import Any

from .import_hooks import after_import
from .stand_in import StandIn

MODULE = 'mmcv.ops.multi_scale_deform_attn'


def register() -> None:
    after_import(MODULE, _replace_beside_the_stand_in)


def use_own_attention() -> None:
    """Let mmcv's deformable attention run on our op also where mmcv is compiled. Without this call a compiled mmcv
    keeps its own kernel, and any other uses ours."""
    _replace(importlib.import_module(MODULE))


def _replace_beside_the_stand_in(module: ModuleType) -> None:
    if isinstance(module.ext_module, StandIn):
        _replace(module)


def _replace(module: ModuleType) -> None:
    from mmvitdense import ops
    from mmvitdense.ops.module import attend

    def multi_scale_deformable_attn_pytorch(
        value: Any, value_spatial_shapes: Any, sampling_locations: Any, attention_weights: Any
    ) -> Any:
        """See `mmvitdense.ops.ms_deform_attn`."""
        return ops.ms_deform_attn(value, value_spatial_shapes, sampling_locations, attention_weights)

    def forward(
        self: Any,
        query: Any,
        key: Any = None,
        value: Any = None,
        identity: Any = None,
        query_pos: Any = None,
        key_padding_mask: Any = None,
        reference_points: Any = None,
        spatial_shapes: Any = None,
        level_start_index: Any = None,
        residual: Any = None,
        **kwargs: Any,
    ) -> Any:
        """See `mmvitdense.ops.MultiScaleDeformableAttention`; `residual` is mmcv's former name of `identity`."""
        value = query if value is None else value
        identity = residual if identity is None else identity
        identity = query if identity is None else identity
        query = query if query_pos is None else query + query_pos
        output = attend(self, query, value, key_padding_mask, reference_points, spatial_shapes)
        return self.dropout(output) + identity

    module.multi_scale_deformable_attn_pytorch = multi_scale_deformable_attn_pytorch
    module.MultiScaleDeformableAttention.forward = forward
