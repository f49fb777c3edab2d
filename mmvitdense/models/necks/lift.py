"""LiFT: the map of a frozen ViT at twice its resolution, with the help of the image (arXiv 2403.14625)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import BatchNorm2d, UpConv2d, constructed_undrawn
from mmvitdense.option_types import Count
from mmvitdense.registry import MODELS

from .map_upsampler import MapUpsampler

_STEM = 32


@MODELS.register_module()
class LiFT(MapUpsampler):
    """A convolutional network from an image and its map to a map of the same features, twice as dense.

    Layers and names of parameters are those of `lift.py` of saksham-s/lift, whose files load as they are. For patches
    of 8 and 16 pixels it computes the same. For other patches, which that code refuses, its first features of the image
    are resized to twice the grid of the map, bilinearly: an extension of ours.

    The official training leaves the length of the features open, and fits one ViT, one block and one kind of features
    alone.

    Args:
        in_channels: Channels of the map, an even number.
        patch_size: Side of a patch of the ViT in pixels.
        init_cfg: As in mmengine; `LiFTPretrained` loads published or own weights.

    Raises:
        ValueError: `in_channels` is odd.
    """

    of_vit: ClassVar[tuple[str, ...]] = ('in_channels', 'patch_size')
    weights_advice: ClassVar[str] = "init_cfg=dict(type='LiFTPretrained', checkpoint=...)"

    @constructed_undrawn
    def __init__(self, in_channels: Count, patch_size: Count, init_cfg: dict | list[dict] | None = None):
        super().__init__(init_cfg)
        if in_channels % 2:
            raise ValueError(f'in_channels must be even, as LiFT works on half of them, got {in_channels}')
        self.in_channels, self.patch_size = in_channels, patch_size
        self.image_convs_1 = nn.Sequential(*_halving(3), *_halving(_STEM))
        self.image_convs_2 = nn.Sequential(*_halving(_STEM))
        self.up1 = _Up(in_channels + _STEM, in_channels // 2)
        self.outc = nn.Conv2d(in_channels // 2, in_channels, 1)

    def forward(self, image: Tensor, maps: Tensor) -> Tensor:
        """Double a map.

        Args:
            image: B x 3 x (patch_size*h) x (patch_size*w), normalised as for the ViT.
            maps: B x in_channels x h x w.

        Returns:
            B x in_channels x 2*h x 2*w.

        Raises:
            ValueError: The image is not of the size of the map in patches.
        """
        grid, side = maps.shape[-2:], self.patch_size
        if not torch.jit.is_tracing() and tuple(image.shape[-2:]) != (grid[0] * side, grid[1] * side):
            raise ValueError(
                f'an image of {tuple(image.shape[-2:])} pixels is given with a map of {tuple(grid)}: with patches of '
                f'{side} the image must be {(grid[0] * side, grid[1] * side)}, padded or resized'
            )
        fine = self._on_grid(self.image_convs_1(image), (2 * grid[0], 2 * grid[1]))
        maps = torch.cat([maps, self.image_convs_2(fine)], dim=1)
        return self.outc(self.up1(maps, fine))

    def denser(self, image: Tensor, maps: Tensor, doublings: Sequence[int]) -> list[Tensor]:
        """As in the base: pass by pass with the same weights, the image doubled bilinearly before each further one."""
        found = []
        for number in range(1, max(doublings) + 1):
            if number > 1:
                size = (2 * image.shape[-2], 2 * image.shape[-1])
                image = F.interpolate(image, size, mode='bilinear', align_corners=False)
            maps = self(image, maps)
            if number in doublings:
                found.append(maps)
        return found

    def _on_grid(self, fine: Tensor, grid: tuple[int, int]) -> Tensor:
        """Features of a quarter of the image's size at twice the grid of the map."""
        if self.patch_size == 8:
            return fine
        if self.patch_size == 16:
            return F.max_pool2d(fine, 2, 2)
        return F.interpolate(fine, grid, mode='bilinear', align_corners=False)


class _Up(nn.Module):
    """Double a map, then two convolutions of it and of features of the image."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.up = UpConv2d(in_channels, in_channels // 2)
        self.conv_1 = _DoubleConv(in_channels // 2 + _STEM, out_channels)

    def forward(self, maps: Tensor, fine: Tensor) -> Tensor:
        return self.conv_1(torch.cat([self.up(maps), fine], dim=1))


class _DoubleConv(nn.Module):
    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.double_conv(maps)


def _halving(channels: int) -> tuple[nn.Module, ...]:
    """A convolution of stride 2, a norm, an activation."""
    return nn.Conv2d(channels, _STEM, 3, stride=2, padding=1), BatchNorm2d(_STEM), nn.ReLU()
