"""Multi-scale deformable attention: the functions of `mmcv._ext` behind its CUDA path, by our own op.

mmcv calls these on CUDA only; `mmcv_attention` sees to its Python path.
"""

from torch import Tensor

from mmvitdense import ops
from mmvitdense.ops.functions import ms_deform_attn_backward as gradients_of


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Shapes as in `mmvitdense.ops.ms_deform_attn`. Levels must follow each other without gaps, as mmcv builds them;
    `level_start_index` and `im2col_step` carry no further information and are ignored."""
    return ops.ms_deform_attn(value, spatial_shapes, sampling_locations, attention_weights)


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    found = gradients_of(grad_output, value, spatial_shapes, sampling_locations, attention_weights)
    for target, gradient in zip((grad_value, grad_sampling_loc, grad_attn_weight), found):
        target.copy_(gradient)
