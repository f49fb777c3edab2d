"""Plain PyTorch definitions of the kernels: what every faster implementation has to agree with.

They run anywhere torch runs, are differentiable by autograd, and compute in float32 or wider whatever the storage
type.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SpatialShapes = Sequence[tuple[int, int]] | Tensor
"""(H, W) of each level, largest first or in any other order, as ints or as an L x 2 integer tensor."""


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
    shapes = check_ms_deform_attn(value, spatial_shapes, sampling_locations, attention_weights)
    batch, _, heads, channels = value.shape
    queries = sampling_locations.size(1)

    dtype = torch.float32
    for tensor in (value, sampling_locations, attention_weights):
        dtype = torch.promote_types(dtype, tensor.dtype)
    # F.grid_sample wants maps as N x C x H x W and points as N x rows x columns x 2, in -1..1.
    maps = value.to(dtype).permute(0, 2, 3, 1).flatten(0, 1)
    grids = (2 * sampling_locations.to(dtype) - 1).transpose(1, 2).flatten(0, 1)
    weights = attention_weights.to(dtype).transpose(1, 2).flatten(0, 1).unsqueeze(1)

    output = maps.new_zeros(batch * heads, channels, queries)
    for i, (level, (h, w)) in enumerate(zip(maps.split([h * w for h, w in shapes], dim=2), shapes)):
        if h * w == 0:
            continue
        sampled = F.grid_sample(
            level.unflatten(2, (h, w)), grids[:, :, i], mode='bilinear', padding_mode='zeros', align_corners=False
        )
        output = output + (sampled * weights[:, :, :, i]).sum(-1)
    return output.view(batch, heads * channels, queries).transpose(1, 2).contiguous().to(value.dtype)


def check_ms_deform_attn(
    value: Tensor, spatial_shapes: SpatialShapes, sampling_locations: Tensor, attention_weights: Tensor
) -> list[tuple[int, int]]:
    """Raise a ValueError that names the argument which does not fit; return the shapes of the levels as ints."""
    tensors = {'value': value, 'sampling_locations': sampling_locations, 'attention_weights': attention_weights}
    for (name, tensor), rank in zip(tensors.items(), (4, 6, 5)):
        if tensor.dim() != rank:
            raise ValueError(f'{name} has {tensor.dim()} dimensions, shape {tuple(tensor.shape)}; expected {rank}')
        if not tensor.is_floating_point():
            raise ValueError(f'{name} is {tensor.dtype}; expected a floating-point type')
        if tensor.device != value.device:
            raise ValueError(f'{name} is on {tensor.device} and value on {value.device}; move them to one device')
    shapes = _level_shapes(spatial_shapes)
    expected = (value.size(0), sampling_locations.size(1), value.size(2), len(shapes), sampling_locations.size(4))
    if tuple(sampling_locations.shape) != (*expected, 2):
        raise ValueError(
            f'sampling_locations has shape {tuple(sampling_locations.shape)}; expected {(*expected, 2)}, that is '
            '(batch and heads of value, queries, levels of spatial_shapes, points, (x, y))'
        )
    if tuple(attention_weights.shape) != expected:
        raise ValueError(
            f'attention_weights has shape {tuple(attention_weights.shape)}; expected {expected}, that of '
            'sampling_locations without its last dimension'
        )
    if sum(h * w for h, w in shapes) != value.size(1):
        raise ValueError(
            f'spatial_shapes {shapes} hold {sum(h * w for h, w in shapes)} positions, but value has {value.size(1)} '
            '(its dimension 1)'
        )
    return shapes


def _level_shapes(spatial_shapes: SpatialShapes) -> list[tuple[int, int]]:
    if isinstance(spatial_shapes, Tensor):
        if spatial_shapes.is_floating_point() or spatial_shapes.dim() != 2 or spatial_shapes.size(1) != 2:
            raise ValueError(
                f'spatial_shapes is a {spatial_shapes.dtype} tensor of shape {tuple(spatial_shapes.shape)}; expected '
                'integers, one row (H, W) per level'
            )
        spatial_shapes = spatial_shapes.tolist()
    shapes = [tuple(shape) for shape in spatial_shapes]
    if any(len(shape) != 2 or min(shape) < 0 for shape in shapes):
        raise ValueError(f'spatial_shapes is {shapes}; expected one (H, W), not negative, per level')
    return shapes
