"""Deformable RoI pooling (Dai et al. 2017): the functions of `mmcv._ext` behind `mmcv.ops.deform_roi_pool`.

RoIAlign with `aligned=True` whose bins are each moved by `gamma * offset * (width, height of the region)`.
"""

import torch
from torch import Tensor

from .gradients import fill_gradients
from .precision import compute_dtype, finite_regions, widen

_CHUNK = 2**24
"""Interpolated numbers held at a time."""

_FAR_OUTSIDE = 1e6
"""A coordinate that no map has."""


def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Fill `output` (N, C, h, w) from `input` (B, C, H, W), `rois` (N, 5) and `offset` (N, 2, h, w), x before y;
    an empty `offset` moves nothing."""
    bins = (pooled_height, pooled_width)
    output.copy_(_pool(*widen(input, offset), rois, bins, spatial_scale, sampling_ratio, gamma))


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Fill `grad_input` and `grad_offset`."""
    bins = (pooled_height, pooled_width)

    def function(input: Tensor, offset: Tensor) -> Tensor:
        return _pool(input, offset, rois, bins, spatial_scale, sampling_ratio, gamma)

    fill_gradients(function, widen(input, offset), grad_output, (grad_input, grad_offset))


def _pool(
    input: Tensor,
    offset: Tensor,
    rois: Tensor,
    bins: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> Tensor:
    rois = finite_regions(rois.to(compute_dtype(input)))
    start = rois[:, 1:3] * spatial_scale - 0.5
    size = (rois[:, 3:5] - rois[:, 1:3]) * spatial_scale
    moved = start[:, :, None, None].expand(-1, -1, *bins)
    if offset.numel() > 0:
        moved = moved + gamma * size[:, :, None, None] * offset.view(-1, 2, *bins)
    bin_size = size / size.new_tensor(bins[::-1])
    points = bin_size.ceil().long() if sampling_ratio <= 0 else torch.full_like(size, sampling_ratio).long()

    output = input.new_zeros(len(rois), input.size(1), *bins)
    for grid in points.unique(dim=0).tolist():
        if min(grid) <= 0:
            continue
        chosen = (points == points.new_tensor(grid)).all(dim=1).nonzero().flatten()
        step = max(1, _CHUNK // (input.size(1) * bins[0] * bins[1] * grid[0] * grid[1]))
        for part in chosen.split(step):
            batch = rois[part, 0].long()
            output = output.index_put((part,), _mean_of_bins(input, batch, moved[part], bin_size[part], grid))
    return output


def _mean_of_bins(input: Tensor, batch: Tensor, start: Tensor, bin_size: Tensor, grid: list[int]) -> Tensor:
    """`start` (n, 2, h, w) is where the region would begin for that bin to lie where it does."""
    x = _positions(start[:, 0], bin_size[:, 0], torch.arange(start.size(3), device=start.device), grid[0])
    y = _positions(start[:, 1], bin_size[:, 1], torch.arange(start.size(2), device=start.device)[:, None], grid[1])
    samples = _bilinear(input, batch, y[..., :, None], x[..., None, :])
    return samples.mean(dim=(3, 4)).permute(0, 3, 1, 2)


def _positions(start: Tensor, bin_size: Tensor, bin_index: Tensor, points: int) -> Tensor:
    """Coordinates (n, h, w, points) along one axis."""
    inner = (torch.arange(points, device=start.device, dtype=start.dtype) + 0.5) / points
    return start[..., None] + (bin_index[..., None] + inner) * bin_size[:, None, None, None]


def _bilinear(input: Tensor, batch: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Samples (n, h, w, points y, points x, C) of `input` (B, C, H, W) by RoIAlign's rule: points up to one pixel
    outside the map take the border's value, points beyond are zero."""
    height, width = input.shape[2:]
    y, x = y.nan_to_num(_FAR_OUTSIDE), x.nan_to_num(_FAR_OUTSIDE)
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    top, left = y.detach().floor().long(), x.detach().floor().long()
    bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    part_y, part_x = (y - top)[..., None], (x - left)[..., None]

    rows = input.permute(0, 2, 3, 1)
    image = batch.view(-1, 1, 1, 1, 1)
    upper = torch.lerp(rows[image, top, left], rows[image, top, right], part_x)
    lower = torch.lerp(rows[image, bottom, left], rows[image, bottom, right], part_x)
    return torch.lerp(upper, lower, part_y) * inside[..., None]
