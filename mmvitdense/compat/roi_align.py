"""RoIAlign: the functions of `mmcv._ext` behind `mmcv.ops.roi_align`.

A region is (batch index, x1, y1, x2, y2) in image units. Average pooling is torchvision's kernel, which has the same
definition; max pooling, which torchvision lacks, goes region by region through separable interpolation.
"""

from typing import NamedTuple

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from .precision import compute_dtype, finite_regions, widen
from .roi_align_gradient import roi_align_gradient

_MAX = 0

_LOWEST = {'cpu': -1e4}
_LOWEST_ELSEWHERE = torch.finfo(torch.float32).min


class _Axis(NamedTuple):
    """Sampling points of one region along one axis, each a mix of two pixels. All are (bins, points per bin)."""

    low: Tensor
    high: Tensor
    fraction: Tensor
    inside: Tensor
    at_minus_one: Tensor


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill `output` (N, C, aligned_height, aligned_width) from `input` (B, C, H, W) and `rois` (N, 5).

    With max pooling `argmax_y` and `argmax_x` receive, per output value, the number of the chosen sampling point
    inside its bin, -1 if the bin has none. (A compiled mmcv puts coordinates there; small integers stay exact in
    16-bit types, and the backward pass below is their only reader.) The maximum of a bin without points, as all are of
    a region without extent, is the number from which mmcv starts to look: -10000 on a CPU, else the lowest of float32.
    Regions that are not finite give 0.
    """
    if rois.size(0) == 0:
        return
    features, regions = widen(input, finite_regions(rois))
    if pool_mode != _MAX:
        size = (spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned)
        output.copy_(torch.ops.torchvision.roi_align(features, regions, *size))
        return
    for i, region in enumerate(regions):
        rows, columns = _axes(
            region, features.shape[2:], (aligned_height, aligned_width), spatial_scale, sampling_ratio, aligned
        )
        value, at_y, at_x = _max_over_bins(features[int(region[0])], rows, columns)
        output[i], argmax_y[i], argmax_x[i] = value.to(output), at_y.to(argmax_y), at_x.to(argmax_x)
    output[~rois.isfinite().all(dim=1)] = 0


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill `grad_input` (B, C, H, W); arguments as in the forward."""
    if rois.size(0) == 0:
        return
    grad, regions = widen(grad_output, finite_regions(rois))
    if pool_mode != _MAX and grad.is_cuda and torch.are_deterministic_algorithms_enabled():
        grad_input.copy_(roi_align_gradient(grad, regions, grad_input.shape, spatial_scale, sampling_ratio, aligned))
        return
    if pool_mode != _MAX:
        size = (spatial_scale, aligned_height, aligned_width, *grad_input.shape, sampling_ratio, aligned)
        grad_input.copy_(torch.ops.torchvision._roi_align_backward(grad, regions, *size))
        return
    total = grad_input.to(compute_dtype(grad_input)).flatten(2)
    for i, region in enumerate(regions):
        rows, columns = _axes(
            region, grad_input.shape[2:], (aligned_height, aligned_width), spatial_scale, sampling_ratio, aligned
        )
        _scatter_max(total[int(region[0])], grad[i], rows, columns, argmax_y[i], argmax_x[i], grad_input.size(3))
    grad_input.copy_(total.view_as(grad_input))


def _axes(
    region: Tensor,
    size: tuple[int, int],
    bins: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> tuple[_Axis, _Axis]:
    """Sampling points of a region (5,) on a map of `size` (H, W), for rows and for columns."""
    start = region[[2, 1]] * spatial_scale - 0.5 * aligned
    length = (region[[4, 3]] - region[[2, 1]]) * spatial_scale
    if not aligned:
        length = length.clamp(min=1)
    points = [sampling_ratio] * 2 if sampling_ratio > 0 else [int(n) for n in (length / length.new_tensor(bins)).ceil()]
    if min(points) <= 0:
        points = [0, 0]
    return tuple(_axis(start[i], length[i] / bins[i], bins[i], points[i], size[i]) for i in range(2))


def _axis(start: Tensor, bin_length: Tensor, bins: int, points: int, size: int) -> _Axis:
    step = torch.arange(points, dtype=start.dtype, device=start.device)
    origin = torch.arange(bins, dtype=start.dtype, device=start.device)
    position = start + (origin[:, None] + (step + 0.5) / max(points, 1)) * bin_length
    inside = (position >= -1) & (position <= size)
    at_minus_one = position == -1
    position = position.clamp(0, size - 1)
    low = position.floor()
    return _Axis(low.long(), (low.long() + 1).clamp(max=size - 1), position - low, inside, at_minus_one)


def _max_over_bins(feature: Tensor, rows: _Axis, columns: _Axis) -> tuple[Tensor, Tensor, Tensor]:
    """Largest sample of each bin of `feature` (C, H, W) and its row and column number inside the bin."""
    (bins_y, points_y), (bins_x, points_x) = rows.low.shape, columns.low.shape
    shape = (feature.size(0), bins_y, bins_x)
    if points_y * points_x == 0:
        missing = feature.new_full(shape, -1)
        return feature.new_full(shape, _LOWEST.get(feature.device.type, _LOWEST_ELSEWHERE)), missing, missing
    lines = torch.lerp(feature[:, rows.low], feature[:, rows.high], rows.fraction[..., None])
    lines = lines * rows.inside[..., None]
    samples = torch.lerp(lines[..., columns.low], lines[..., columns.high], columns.fraction) * columns.inside
    value, at = samples.transpose(2, 3).flatten(3).max(dim=3)
    return value, at // points_x, at % points_x


def _scatter_max(
    total: Tensor, grad: Tensor, rows: _Axis, columns: _Axis, argmax_y: Tensor, argmax_x: Tensor, width: int
) -> None:
    """Add `grad` (C, bins, bins) of one region to `total` (C, H*W) at the four pixels around each chosen sample.

    A sample at a height of exactly -1 gets no gradient: mmcv takes its -1 for "none".
    """
    if rows.low.numel() == 0:
        return
    bin_y = torch.arange(grad.size(1), device=grad.device)[:, None]
    bin_x = torch.arange(grad.size(2), device=grad.device)
    row = _Axis(*(part[bin_y, argmax_y.long()] for part in rows))
    column = _Axis(*(part[bin_x, argmax_x.long()] for part in columns))
    grad = grad * row.inside * column.inside * ~row.at_minus_one
    for y, weight_y in ((row.low, 1 - row.fraction), (row.high, row.fraction)):
        for x, weight_x in ((column.low, 1 - column.fraction), (column.high, column.fraction)):
            total.scatter_add_(1, (y * width + x).flatten(1), (grad * weight_y * weight_x).flatten(1))
