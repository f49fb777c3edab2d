"""The gradient of RoIAlign with average pooling as matrix products, whose bits repeat.

The mean of the samples of a bin is separable: `output = rows @ map @ columns.T`, with the weights of all pixels of an
axis for each bin. torchvision's kernel for GPUs adds to the map by atomic additions instead, and refuses where
deterministic algorithms are asked for.
"""

import torch
from torch import Tensor

_CHUNK = 16
"""Regions at a time: of each are kept channels x height x bins numbers."""


def roi_align_gradient(
    grad: Tensor, regions: Tensor, shape: torch.Size, spatial_scale: float, sampling_ratio: int, aligned: bool
) -> Tensor:
    """The gradient by the map.

    Args:
        grad: By the output, N x C x bins_y x bins_x.
        regions: N x 5, (image, x1, y1, x2, y2).
        shape: B x C x H x W of the map.
        spatial_scale, sampling_ratio, aligned: As those of `mmcv.ops.roi_align`.

    Returns:
        B x C x H x W.
    """
    total = grad.new_zeros(shape)
    images = regions[:, 0].long()
    for image in range(shape[0]):
        own = (images == image).nonzero()[:, 0]
        for part in own.split(_CHUNK):
            rows = _weights(regions[part][:, [2, 4]], shape[2], grad.size(2), spatial_scale, sampling_ratio, aligned)
            columns = _weights(regions[part][:, [1, 3]], shape[3], grad.size(3), spatial_scale, sampling_ratio, aligned)
            # Regions and the bins of a row are summed over by one product.
            lines = torch.einsum('nbh,ncbx->chnx', rows, grad[part])
            total[image] += lines.flatten(2) @ columns.flatten(0, 1)
    return total


def _weights(ends: Tensor, size: int, bins: int, spatial_scale: float, sampling_ratio: int, aligned: bool) -> Tensor:
    """What each of `size` pixels counts for in each bin of regions that reach from one end to the other, N x bins x
    size."""
    start, end = (ends * spatial_scale - 0.5 * aligned).unbind(1)
    length = end - start
    if not aligned:
        length = length.clamp(min=1)
    step = length / bins
    points = torch.full_like(step, sampling_ratio) if sampling_ratio > 0 else step.ceil()
    number = torch.arange(max(int(points.max()), 1) if len(points) else 1, device=ends.device)
    counted = number < points[:, None]
    place = (number + 0.5) / points.clamp(min=1)[:, None]
    bin_of = torch.arange(bins, dtype=ends.dtype, device=ends.device)
    position = start[:, None, None] + (bin_of[:, None] + place[:, None]) * step[:, None, None]
    inside = (position >= -1) & (position <= size) & counted[:, None]
    pixels = torch.arange(size, dtype=ends.dtype, device=ends.device)
    shares = (1 - (position.clamp(0, size - 1)[..., None] - pixels).abs()).clamp(min=0) * inside[..., None]
    return shares.sum(2) / points.clamp(min=1)[:, None, None]
