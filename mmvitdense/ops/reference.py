"""Plain PyTorch definitions of the kernels: what every faster implementation has to agree with.

They run anywhere torch runs, and compute in float32 or wider whatever the storage type. The first two are
differentiable by autograd, to any order; the last two are their backward passes written out, for places where autograd
does not reach.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .arguments import SpatialShapes, accumulation_type, check_ms_deform_attn, check_ms_deform_attn_fused

_FAR_OUTSIDE = 10.0
"""A coordinate of F.grid_sample, whose maps reach from -1 to 1, that lies outside maps of any size."""


def ms_deform_attn(
    value: Tensor, spatial_shapes: SpatialShapes, sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """See `mmvitdense.ops.ms_deform_attn`."""
    shapes = check_ms_deform_attn(value, spatial_shapes, sampling_locations, attention_weights)
    dtype = accumulation_type(value, sampling_locations, attention_weights)
    maps, grids, weights = _as_maps(value, sampling_locations, attention_weights, dtype)
    output = maps.new_zeros(maps.size(0), maps.size(1), sampling_locations.size(1))
    for i, level in _levels(maps, shapes):
        points = _points_that_count(grids[:, :, i], level)
        sampled = F.grid_sample(level, points, mode='bilinear', padding_mode='zeros', align_corners=False)
        output = output + (sampled * weights[:, :, :, i]).sum(-1)
    output = output.view(value.size(0), value.size(2) * value.size(3), sampling_locations.size(1))
    return output.transpose(1, 2).contiguous().to(value.dtype)


def ms_deform_attn_fused(
    value: Tensor, spatial_shapes: SpatialShapes, reference_points: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    """See `mmvitdense.ops.ms_deform_attn_fused`."""
    shapes = check_ms_deform_attn_fused(value, spatial_shapes, reference_points, offsets, logits)
    dtype = accumulation_type(value, reference_points, offsets, logits)
    locations, _ = _locations(shapes, reference_points.to(dtype), offsets.to(dtype))
    return ms_deform_attn(value, shapes, locations, _softmax(logits.to(dtype)))


def ms_deform_attn_backward(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: SpatialShapes,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of value, sampling_locations and attention_weights, from that of the output."""
    shapes = check_ms_deform_attn(value, spatial_shapes, sampling_locations, attention_weights)
    dtype = accumulation_type(grad_output, value, sampling_locations, attention_weights)
    maps, grids, weights = _as_maps(value, sampling_locations, attention_weights, dtype)
    batch, queries, heads = sampling_locations.shape[:3]
    grad = grad_output.to(dtype).transpose(1, 2).reshape(batch * heads, value.size(3), queries, 1)
    grad_maps, grad_grids, grad_weights = torch.zeros_like(maps), torch.zeros_like(grids), torch.zeros_like(weights)
    start = 0
    for i, level in _levels(maps, shapes):
        start = sum(h * w for h, w in shapes[:i])
        # 0, 0, False: bilinear, zeros outside, corners not aligned.
        points = _points_that_count(grids[:, :, i], level)
        sampled = torch.ops.aten.grid_sampler_2d(level, points, 0, 0, False)
        grad_level, grad_grids[:, :, i] = torch.ops.aten.grid_sampler_2d_backward(
            grad * weights[:, :, :, i], level, points, 0, 0, False, [True, True]
        )
        grad_maps[:, :, start : start + level[0, 0].numel()] = grad_level.flatten(2)
        grad_weights[:, 0, :, i] = (sampled * grad).sum(1)
    return (
        grad_maps.unflatten(0, (batch, heads)).permute(0, 3, 1, 2).to(value.dtype).contiguous(),
        (2 * grad_grids.unflatten(0, (batch, heads)).transpose(1, 2)).to(sampling_locations.dtype).contiguous(),
        grad_weights.squeeze(1).unflatten(0, (batch, heads)).transpose(1, 2).to(attention_weights.dtype).contiguous(),
    )


def ms_deform_attn_fused_backward(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: SpatialShapes,
    reference_points: Tensor,
    offsets: Tensor,
    logits: Tensor,
    reference_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of value, reference_points (empty unless `reference_grad`), offsets and logits."""
    shapes = check_ms_deform_attn_fused(value, spatial_shapes, reference_points, offsets, logits)
    dtype = accumulation_type(grad_output, value, reference_points, offsets, logits)
    wide_reference, wide_offsets = reference_points.to(dtype), offsets.to(dtype)
    locations, scale = _locations(shapes, wide_reference, wide_offsets)
    weights = _softmax(logits.to(dtype))
    grad_value, grad_locations, grad_weights = ms_deform_attn_backward(
        grad_output.to(dtype), value.to(dtype), shapes, locations, weights
    )
    row_sums = (weights * grad_weights).sum((-2, -1), keepdim=True)
    grad_reference = reference_points.new_empty(0)
    if reference_grad:
        parts = [grad_locations]
        if reference_points.size(-1) == 4:
            parts.append(grad_locations * wide_offsets * (0.5 / offsets.size(4)))
        full = torch.cat(parts, dim=-1).sum((2, 4))
        grad_reference = full.sum_to_size(reference_points.shape).to(reference_points.dtype).contiguous()
    return (
        grad_value.to(value.dtype),
        grad_reference,
        (grad_locations * scale).to(offsets.dtype).contiguous(),
        (weights * (grad_weights - row_sums)).to(logits.dtype).contiguous(),
    )


def _as_maps(value: Tensor, locations: Tensor, weights: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """The arguments as F.grid_sample wants them: maps as N x C x positions, points as N x rows x levels x columns x 2
    in -1..1, with images and heads as N."""
    maps = value.to(dtype).permute(0, 2, 3, 1).flatten(0, 1)
    grids = (2 * locations.to(dtype) - 1).transpose(1, 2).flatten(0, 1)
    return maps, grids, weights.to(dtype).transpose(1, 2).flatten(0, 1).unsqueeze(1)


def _points_that_count(grid: Tensor, level: Tensor) -> Tensor:
    """`grid` (..., 2) with every point moved far out that does not lie in the open range (-1, H) x (-1, W) of `level`.

    Those give the value 0, and here as in the kernels no gradient; F.grid_sample has a slope at points exactly on -1.
    """
    height, width = level.shape[2:]
    x = ((grid[..., 0] + 1) * width - 1) / 2
    y = ((grid[..., 1] + 1) * height - 1) / 2
    inside = (x > -1) & (x < width) & (y > -1) & (y < height)
    return torch.where(inside.unsqueeze(-1), grid, _FAR_OUTSIDE)


def _levels(maps: Tensor, shapes: list[tuple[int, int]]) -> list[tuple[int, Tensor]]:
    parts = maps.split([h * w for h, w in shapes], dim=2)
    return [(i, part.unflatten(2, shapes[i])) for i, part in enumerate(parts) if part.size(2)]


def _softmax(logits: Tensor) -> Tensor:
    return logits.flatten(-2).softmax(-1).view_as(logits)


def _locations(shapes: list[tuple[int, int]], reference: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """B x Q x M x L x P x 2 locations in 0..1, and the factor from offsets to locations."""
    reference = reference[:, :, None, :, None]
    if reference.size(-1) == 2:
        sizes = torch.tensor([(max(w, 1), max(h, 1)) for h, w in shapes], dtype=offsets.dtype, device=offsets.device)
        scale = (1 / sizes)[:, None]
    else:
        scale = reference[..., 2:] * (0.5 / max(offsets.size(4), 1))
    return reference[..., :2] + offsets * scale, scale
