"""What a transformer on one map knows of the places of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor


@dataclass(frozen=True)
class MapGeometry:
    """The map of a batch of images, padded at the bottom and on the right to one size.

    Attributes:
        grid: Rows and columns of the map.
        stride: Side of a token in pixels.
        limits: Width and height of the images in pixels, whole tokens, B x 2.
        padding: B x h x w, true for tokens of the padding; None where there is none.
    """

    grid: tuple[int, int]
    stride: int
    limits: Tensor
    padding: Tensor | None

    @property
    def padding_of_tokens(self) -> Tensor | None:
        """The padding, B x h*w."""
        return None if self.padding is None else self.padding.flatten(1)

    def padding_at(self, size: Sequence[int]) -> Tensor | None:
        """The padding on a map of another size, B x that size: of the token at the upper left of each place."""
        if self.padding is None:
            return None
        return F.interpolate(self.padding[:, None].float(), tuple(size)).to(torch.bool)[:, 0]


def geometry_of(features: Tensor, samples: Sequence[DetDataSample], stride: int) -> MapGeometry:
    """The geometry of a map, B x C x h x w, of the images of samples.

    Raises:
        ValueError: The map has another size than images of this stride.
    """
    grid = tuple(features.shape[-2:])
    padded = samples[0].batch_input_shape
    if grid != tuple(_tokens(side, stride) for side in padded):
        raise ValueError(
            f'PlainDETR got a map of {grid[0]} x {grid[1]} of images of {padded[0]} x {padded[1]} pixels; expected one '
            f'token for each {stride} x {stride} pixels: give stride the patch of the ViT.'
        )
    sizes = [tuple(_tokens(side, stride) for side in sample.img_shape[:2]) for sample in samples]
    heights, widths = torch.tensor(sizes, device=features.device).unbind(-1)
    limits = torch.stack([widths, heights], dim=-1).float() * stride
    padding = None
    if any(size != grid for size in sizes):
        rows, columns = (torch.arange(length, device=features.device) for length in grid)
        padding = (rows[:, None] >= heights[:, None, None]) | (columns >= widths[:, None, None])
    return MapGeometry(grid, stride, limits, padding)


def _tokens(side: int, stride: int) -> int:
    return -(-side // stride)
