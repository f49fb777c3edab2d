"""mmcv's deformable attention on a CPU, and in bfloat16 anywhere: by our op.

There mmcv interpolates with `F.grid_sample` in the type of the values, which in 16 bits on a CPU reads foreign memory
on maps above about 180 x 180, for a batch of one far below that.
"""

from types import ModuleType
from typing import Any

from .import_hooks import after_import
from .stand_in import StandIn


def register() -> None:
    after_import('mmcv.ops.multi_scale_deform_attn', _replace_python_path)


def _replace_python_path(module: ModuleType) -> None:
    if not isinstance(module.ext_module, StandIn):
        return
    from mmvitdense import ops

    def multi_scale_deformable_attn_pytorch(
        value: Any, value_spatial_shapes: Any, sampling_locations: Any, attention_weights: Any
    ) -> Any:
        """See `mmvitdense.ops.ms_deform_attn`."""
        return ops.ms_deform_attn(value, value_spatial_shapes, sampling_locations, attention_weights)

    module.multi_scale_deformable_attn_pytorch = multi_scale_deformable_attn_pytorch
