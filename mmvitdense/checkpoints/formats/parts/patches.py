"""The size of the patches, and kernels of them that are stored as rows of a matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

_STEM = 'patch_embed.convs.{}.conv.weight'


def patch_sides(weights: Mapping[str, Tensor]) -> tuple[int, int]:
    """Height and width of a patch in pixels, from names of ``PlainViT``."""
    halvings = 0
    while _STEM.format(halvings) in weights:
        halvings += 1
    if halvings:  # each convolution of a stem halves the map, the last one too
        return 2 ** (halvings + 1), 2 ** (halvings + 1)
    height, width = weights['patch_embed.proj.weight'].shape[2:]
    return height, width


def image_channels(weights: Mapping[str, Tensor]) -> int:
    """Channels of the image, from names of ``PlainViT``."""
    first = _STEM.format(0)
    return weights[first if first in weights else 'patch_embed.proj.weight'].shape[1]


def kernel_of_rows(rows: Tensor, channels_last: bool = False, in_channels: int = 3) -> Tensor:
    """Make a matrix that projects flattened square patches a kernel.

    Args:
        rows: C x in_channels*p*p, of patches as (channel, row, column), or as (row, column, channel).
        channels_last: Whether the channels of the image come last.
        in_channels: Channels of the image.

    Returns:
        C x in_channels x p x p.
    """
    side = math.isqrt(rows.shape[1] // in_channels)
    if channels_last:
        return rows.unflatten(1, (side, side, in_channels)).permute(0, 3, 1, 2).contiguous()
    return rows.unflatten(1, (in_channels, side, side))
