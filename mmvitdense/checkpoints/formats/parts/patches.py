"""The size of the patches, which a stem of several convolutions shows by their number, and the image's channels."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_STEM = 'patch_embed.convs.{}.conv.weight'


def patch_sides(weights: Mapping[str, Tensor]) -> tuple[int, int]:
    """Height and width of a patch in pixels, from names of `PlainViT`."""
    halvings = 0
    while _STEM.format(halvings) in weights:
        halvings += 1
    if halvings:  # each convolution of a stem halves the map, the last one too
        return 2 ** (halvings + 1), 2 ** (halvings + 1)
    height, width = weights['patch_embed.proj.weight'].shape[2:]
    return height, width


def image_channels(weights: Mapping[str, Tensor]) -> int:
    """Channels of the image, from names of `PlainViT`."""
    first = _STEM.format(0)
    return weights[first if first in weights else 'patch_embed.proj.weight'].shape[1]
