"""The pixel decoder of kMaX-DeepLab: residual blocks from the smallest map to the largest (arXiv 2207.04044)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from mmvitdense.layers import LayerNorm2d

from .axial_attention import AxialAttention
from .kmax_conv import ConvNorm

LEVELS = 3
KINDS = ('axial', 'bottleneck')
EXPANSION = 4


class ResidualBlock(nn.Module):
    """GELU, a narrow branch with axial attention or a 3x3 convolution, and a sum (`kmax_pixel_decoder.py`).

    Args:
        in_channels: Channels that come in.
        channels: Width of the block; four times as many go out.
        kind: 'axial' or 'bottleneck'.
        num_heads: Heads of axial attention.
        norm_cfg: See `build_norm2d`.
        drop_path_rate: Probability with which the branch of an image is left out.
    """

    def __init__(
        self, in_channels: int, channels: int, kind: str, num_heads: int, norm_cfg: dict, drop_path_rate: float
    ):
        super().__init__()
        wide = EXPANSION * channels
        if kind == 'axial':
            self.reduce = ConvNorm(in_channels, 2 * channels, norm_cfg)
            self.mix = nn.Sequential(
                AxialAttention(2 * channels, channels, 2 * channels, num_heads, norm_cfg), nn.GELU()
            )
            self.expand = ConvNorm(2 * channels, wide, norm_cfg, act=False, gain=0.0)
        else:
            self.reduce = ConvNorm(in_channels, channels, norm_cfg)
            self.mix = ConvNorm(channels, channels, norm_cfg, kernel_size=3)
            self.expand = ConvNorm(channels, wide, norm_cfg, act=False, gain=0.0)
        same = in_channels == wide
        self.shortcut = nn.Identity() if same else ConvNorm(in_channels, wide, norm_cfg, act=False)
        self.drop_path = StochasticDepth(drop_path_rate, mode='row')

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x in_channels x h x w to B x 4*channels x h x w."""
        maps = F.gelu(maps)
        return self.shortcut(maps) + self.drop_path(self.expand(self.mix(self.reduce(maps))))


class Fuse(nn.Module):
    """The sum of a map and a larger one, both with GELU and a 1x1 convolution where their channels differ.

    Args:
        low_channels: Of the smaller map.
        high_channels: Of the larger one.
        channels: Of the sum.
        norm_cfg: See `build_norm2d`.
    """

    def __init__(self, low_channels: int, high_channels: int, channels: int, norm_cfg: dict):
        super().__init__()
        self.low = _projection(low_channels, channels, norm_cfg)
        self.high = _projection(high_channels, channels, norm_cfg)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Sum B x low_channels x h x w, resized, and B x high_channels x H x W to B x channels x H x W."""
        return resized(self.low(low), high.shape[-2:], low.shape[-1]) + self.high(high)


def _projection(in_channels: int, channels: int, norm_cfg: dict) -> nn.Module:
    if in_channels == channels:
        return nn.Identity()
    return nn.Sequential(nn.GELU(), ConvNorm(in_channels, channels, norm_cfg, act=False))


def resized(maps: Tensor, size: Sequence[int], side: int) -> Tensor:
    """A map resized bilinearly, with its corners on those of the result where `side` is odd.

    An image of 1281 pixels has maps of 41, 81, 161 and 321, whose first and last places are at its first and last
    pixel.
    """
    return F.interpolate(maps, size=tuple(size), mode='bilinear', align_corners=side % 2 == 1)


class KMaXPixelDecoder(nn.Module):
    """Maps of ever smaller strides to one for masks and three for the queries (`kMaXPixelDecoder`).

    Args:
        in_channels: Of the maps, largest first.
        channels: Width of the blocks of each map, smallest first; four times as many go out.
        num_blocks: Blocks of each map, smallest first.
        kinds: Kind of the blocks of each map, smallest first.
        num_heads: Heads of axial attention.
        norm_cfg: See `build_norm2d`.
        drop_path_rate: Of all blocks.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: Sequence[int],
        num_blocks: Sequence[int],
        kinds: Sequence[str],
        num_heads: int,
        norm_cfg: dict,
        drop_path_rate: float,
    ):
        super().__init__()
        given = list(reversed(in_channels))
        self.in_norms = nn.ModuleList(LayerNorm2d(each, eps=1e-6) for each in given)
        self.stages = nn.ModuleList()
        for index, (width, count, kind) in enumerate(zip(channels, num_blocks, kinds)):
            inputs = [width if index else given[0], *[EXPANSION * width] * (count - 1)]
            blocks = (ResidualBlock(each, width, kind, num_heads, norm_cfg, drop_path_rate) for each in inputs)
            self.stages.append(nn.Sequential(*blocks))
        self.fuses = nn.ModuleList(
            Fuse(EXPANSION * before, high, width, norm_cfg)
            for (before, width), high in zip(pairwise(channels), given[1:])
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Decode.

        Args:
            maps: Largest first, each B x its in_channels x h x w.

        Returns:
            The last map, of the size of `maps[0]`, and the first three, smallest first; each has four times the
            `channels` of its blocks.
        """
        given = [norm(each) for norm, each in zip(self.in_norms, reversed(maps))]
        found = [self.stages[0](given[0])]
        for stage, fuse, high in zip(self.stages[1:], self.fuses, given[1:]):
            found.append(stage(fuse(found[-1], high)))
        return found[-1], found[:LEVELS]
