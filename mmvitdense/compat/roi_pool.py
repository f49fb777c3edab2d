"""RoI max pooling: the functions of `mmcv._ext` behind `mmcv.ops.roi_pool`.

Not torchvision's: that one rounds a region to whole pixels first, mmcv's does not. Here a bin takes every pixel it
touches, and a region reaches to (x2 + 1, y2 + 1).
"""

import torch
from torch import Tensor

from .precision import compute_dtype, finite_regions, widen


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fill `output` (N, C, h, w) from `input` (B, C, H, W) and `rois` (N, 5), and `argmax` with the position of each
    maximum in its map, row * W + column, -1 for a bin without pixels (whose output is 0)."""
    height, width = input.shape[2:]
    (regions,) = widen(finite_regions(rois))
    start = regions[:, 1:3] * spatial_scale
    size = (regions[:, 3:5] + 1) * spatial_scale - start
    columns = _bins(start[:, 0], size[:, 0], pooled_width, width)
    rows = _bins(start[:, 1], size[:, 1], pooled_height, height)
    extents = torch.cat((columns[:, 0, :1], columns[:, 1, -1:], rows[:, 0, :1], rows[:, 1, -1:]), dim=1).tolist()
    valid = (size > 0).all(dim=1).tolist()
    output.zero_()
    argmax.fill_(-1)
    for i, image in enumerate(regions[:, 0].long().tolist()):
        left, right, top, bottom = extents[i]
        if valid[i] and left < right and top < bottom:
            crop = input[image, :, top:bottom, left:right]
            value, row, column = _max_over_bins(crop, rows[i] - top, columns[i] - left)
            empty = value == -torch.inf
            output[i] = value.masked_fill(empty, 0)
            argmax[i] = ((row + top) * width + column + left).masked_fill(empty, -1).to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fill `grad_input` (B, C, H, W)."""
    dtype = compute_dtype(grad_input)
    total = torch.zeros(grad_input.shape, dtype=dtype, device=grad_input.device).flatten(2)
    image = finite_regions(rois)[:, 0].long()[:, None, None]
    channel = torch.arange(total.size(1), device=total.device)[:, None]
    position = argmax.long().flatten(2)
    grad = grad_output.to(dtype).flatten(2) * (position >= 0)
    total.index_put_((image, channel, position.clamp(min=0)), grad, accumulate=True)
    grad_input.copy_(total.view_as(grad_input))


def _bins(start: Tensor, size: Tensor, bins: int, limit: int) -> Tensor:
    """N x 2 x bins: first pixel of each bin along one axis, and the one after its last."""
    edge = torch.arange(bins + 1, dtype=start.dtype, device=start.device) * (size / bins)[:, None]
    low = (edge[:, :-1] + start[:, None]).floor()
    high = (edge[:, 1:] + start[:, None]).ceil()
    return torch.stack((low, high), dim=1).clamp(0, limit).long()


def _max_over_bins(crop: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Maximum of `crop` (C, h, w) over each bin, its row and its column; -inf for a bin without pixels.

    Columns go first, then rows, so that the first of equal maxima in reading order wins, as in mmcv.
    """
    line, line_at = crop[:, :, None].masked_fill(_outside(columns, crop.size(2)), -torch.inf).max(dim=3)
    line, line_at = line.transpose(1, 2)[:, None], line_at.transpose(1, 2)[:, None]
    value, row = line.masked_fill(_outside(rows, crop.size(1))[:, None], -torch.inf).max(dim=3)
    column = line_at.expand(*row.shape, -1).gather(3, row[..., None])[..., 0]
    return value, row, column


def _outside(bins: Tensor, size: int) -> Tensor:
    """Bins x size: which of the pixels a bin does not hold."""
    pixel = torch.arange(size, device=bins.device)
    return (pixel < bins[0, :, None]) | (pixel >= bins[1, :, None])
