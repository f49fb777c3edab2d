"""The size of the patches, which a stem of several convolutions shows by their number."""

from __future__ import annotations

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
