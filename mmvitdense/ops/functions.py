"""The deformable ops for users: arguments are checked, then the chosen implementation runs."""

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake

from . import backends, reference
from .arguments import SpatialShapes, check_ms_deform_attn, check_ms_deform_attn_fused
from .recording import is_exporting
from .schemas import OPS

_PLAIN = (Tensor, nn.Parameter)


def ms_deform_attn(
    value: Tensor, spatial_shapes: SpatialShapes, sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """Multi-scale deformable attention (Zhu et al. 2021, Deformable DETR, section 4.1).

    A query's output, per head, is the weighted sum of the values at L x P points. A value is interpolated
    bilinearly; pixel (row i, column j) of a level lies at ((j + 0.5) / W, (i + 0.5) / H), and everything outside the
    map is zero. Differentiable in all three floating-point arguments.

    Args:
        value: B x S x M x D, the levels one after the other, each row by row, S = sum of H * W; M heads.
        spatial_shapes: (H, W) of the L levels. Ints spare a synchronisation when `value` is on a GPU.
        sampling_locations: B x Q x M x L x P x 2, (x, y) with 0 and 1 at the borders of the level. Keep them in
            float32: 16 bits displace points by a pixel on a 256-wide map.
        attention_weights: B x Q x M x L x P.

    Returns:
        B x Q x (M * D) in the type of `value`. Interpolation and sums are done in float32, or in float64 where an
        argument is float64.

    Raises:
        ValueError: a wrong rank, size, type or device; the message names the argument.
    """
    if _stay_a_tensor(spatial_shapes, value):
        return OPS.ms_deform_attn.tensor_shapes(value, spatial_shapes, sampling_locations, attention_weights)
    shapes = check_ms_deform_attn(value, spatial_shapes, sampling_locations, attention_weights)
    if _by_reference(value):
        return reference.ms_deform_attn(value, shapes, sampling_locations, attention_weights)
    flat = [size for shape in shapes for size in shape]
    return OPS.ms_deform_attn.default(value, flat, sampling_locations, attention_weights)


def ms_deform_attn_fused(
    value: Tensor, spatial_shapes: SpatialShapes, reference_points: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    """`ms_deform_attn` with its prologue inside: the softmax of the logits, and the sampling points from reference
    points and offsets. Both are computed in float32 or wider whatever the type of the arguments.

    Args:
        value: B x S x M x D, as in `ms_deform_attn`.
        spatial_shapes: (H, W) of the L levels.
        reference_points: (B or 1) x Q x (L or 1) x (2 or 4): (x, y) in 0..1, or boxes (x, y, width, height).
        offsets: B x Q x M x L x P x 2: from a point in pixels of the level, from a box in halves of its size divided
            by P (Deformable DETR, appendix A.4).
        logits: B x Q x M x L x P; their softmax over levels and points together gives the attention weights.

    Returns:
        B x Q x (M * D) in the type of `value`.

    Raises:
        ValueError: a wrong rank, size, type or device; the message names the argument.
    """
    if _stay_a_tensor(spatial_shapes, value):
        return OPS.ms_deform_attn_fused.tensor_shapes(value, spatial_shapes, reference_points, offsets, logits)
    shapes = check_ms_deform_attn_fused(value, spatial_shapes, reference_points, offsets, logits)
    if _by_reference(value):
        return reference.ms_deform_attn_fused(value, shapes, reference_points, offsets, logits)
    flat = [size for shape in shapes for size in shape]
    return OPS.ms_deform_attn_fused.default(value, flat, reference_points, offsets, logits)


def ms_deform_attn_backward(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: SpatialShapes,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of value, sampling_locations and attention_weights from that of the output of `ms_deform_attn`, for
    callers with an autograd function of their own."""
    shapes = check_ms_deform_attn(value, spatial_shapes, sampling_locations, attention_weights)
    tensors = (sampling_locations, attention_weights)
    if _by_reference(value):
        return reference.ms_deform_attn_backward(grad_output, value, shapes, *tensors)
    flat = [size for shape in shapes for size in shape]
    return OPS.ms_deform_attn_backward.default(grad_output, value, flat, *tensors)


def _by_reference(value: Tensor) -> bool:
    """Without a compiled kernel the reference runs as it is: autograd then keeps what its backward pass needs. Traced
    programs name the operator all the same, and find the kernel where they run. Exported ones do so only where the
    compiled kernel was asked for by name: other runtimes know torch's own operators alone."""
    if backends.chosen() == 'reference' or torch.jit.is_tracing():
        return True
    if is_exporting():
        return backends.chosen() != 'compiled'
    return not _has_no_numbers(value) and not backends.use_compiled(value.device)


def _stay_a_tensor(spatial_shapes: SpatialShapes, value: Tensor) -> bool:
    """Whether the sizes of the levels are a tensor that cannot be read yet: in a graph that is being made."""
    return isinstance(spatial_shapes, Tensor) and _has_no_numbers(value) and not _by_reference(value)


def _has_no_numbers(value: Tensor) -> bool:
    """Whether what runs is a rehearsal: by torch.compile, or with fake tensors, whose device need not be there."""
    return torch.compiler.is_compiling() or value.is_meta or (type(value) not in _PLAIN and is_fake(value))
