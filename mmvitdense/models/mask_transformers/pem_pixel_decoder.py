"""The pixel decoder of PEM: a light pyramid with a global context and deformable convolutions (arXiv 2402.19422)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import build_norm2d, deformable_conv

_TAPS = 9
_LEVELS = 4


class ConvNorm(nn.Module):
    """A 1x1 convolution without bias, a norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = build_norm2d(norm_cfg, out_channels)

    def reset_parameters(self) -> None:
        """Draw the kernel from a normal distribution that keeps the variance of what comes in."""
        nn.init.kaiming_normal_(self.conv.weight, a=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x in_channels x h x w to B x out_channels x h x w."""
        return F.relu(self.norm(self.conv(maps)))


class ContextModulation(nn.Module):
    """A map, to which it is added once more, each channel weighted by what the mean over all places says.

    Args:
        channels: Channels.
        norm_cfg: See `build_norm2d`.
        double_sigmoid: As the published code: weights are a sigmoid of a sigmoid, which leaves 0.5 to 0.73.
    """

    def __init__(self, channels: int, norm_cfg: dict, double_sigmoid: bool):
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.norm = build_norm2d(norm_cfg, channels // 2)
        self.expand = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.double_sigmoid = double_sigmoid

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x channels x h x w to the same shape."""
        mean = maps.mean(dim=(2, 3), keepdim=True)
        weights = self.expand(F.relu(self.norm(self.reduce(mean)))).sigmoid()
        return maps + maps * (weights.sigmoid() if self.double_sigmoid else weights)


class DeformableStep(nn.Module):
    """A deformable 3x3 convolution of a map, and the result at twice the size, each with a norm and ReLU."""

    def __init__(self, channels: int, norm_cfg: dict):
        super().__init__()
        self.offset = nn.Conv2d(channels, 3 * _TAPS, 3, padding=1)
        # Its kernel is applied to sampled values.
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = build_norm2d(norm_cfg, channels)
        self.up = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
        self.up_norm = build_norm2d(norm_cfg, channels)

    def reset_parameters(self) -> None:
        """Start with the sampling points of a plain convolution."""
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)
        nn.init.kaiming_normal_(self.conv.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Map B x channels x h x w to the same shape, and to B x channels x 2h x 2w."""
        offsets, weights = self.offset(maps).split([2 * _TAPS, _TAPS], dim=1)
        sampled = deformable_conv(maps, offsets, weights.sigmoid(), self.conv.weight)
        maps = F.relu(self.norm(sampled))
        return maps, F.relu(self.up_norm(self.up(maps)))


class PEMPixelDecoder(nn.Module):
    """Maps of strides 4, 8, 16 and 32 to one for masks, and three for the queries (`pem_pixel_decoder.py`).

    In training each process needs two images or a `SyncBN` over several: the means over an image are normed over the
    batch. Each side should be half of that of the map before; where it is rounded, up or down, the doubled map is cut,
    or its last row and column are repeated.

    Args:
        in_channels: Of the four maps.
        channels: Of all maps inside and of the three for the queries.
        mask_channels: Of the map for masks.
        norm_cfg: See `build_norm2d`.
        double_sigmoid: See `ContextModulation`.

    Raises:
        ValueError: There are not four maps.
    """

    def __init__(
        self, in_channels: Sequence[int], channels: int, mask_channels: int, norm_cfg: dict, double_sigmoid: bool
    ):
        super().__init__()
        if len(in_channels) != _LEVELS:
            raise ValueError(
                f'PEM takes four maps, of strides 4, 8, 16 and 32, got in_channels={list(in_channels)}: give the '
                'channels of each'
            )
        self.laterals = nn.ModuleList(ConvNorm(each, channels, norm_cfg) for each in in_channels)
        self.context = ConvNorm(in_channels[-1], channels, norm_cfg)
        # Smallest map first, as they run.
        self.modulations = nn.ModuleList(ContextModulation(channels, norm_cfg, double_sigmoid) for _ in range(_LEVELS))
        self.steps = nn.ModuleList(DeformableStep(channels, norm_cfg) for _ in range(_LEVELS - 1))
        self.output = ConvNorm(channels, mask_channels, norm_cfg)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Decode.

        Args:
            maps: Four, largest first, each B x its in_channels x h x w.

        Returns:
            B x mask_channels x h x w of the largest, and three of B x channels x h x w, smallest first.

        Raises:
            ValueError: There are not four maps, or the sides of one are not twice those of the next.
        """
        if len(maps) != _LEVELS:
            raise ValueError(f'PEM takes four maps, of strides 4, 8, 16 and 32, got {len(maps)}')
        added, found = self.context(maps[-1].mean(dim=(2, 3), keepdim=True)), []
        for index, (modulate, source) in enumerate(zip(self.modulations, reversed(maps))):
            lateral = self.laterals[_LEVELS - 1 - index](source)
            fused = modulate(lateral) + (fitted(added, lateral.shape[-2:]) if index else added)
            if index < len(self.steps):
                fused, added = self.steps[index](fused)
            found.append(fused)
        return self.output(found.pop()), found


def fitted(doubled: Tensor, size: Sequence[int]) -> Tensor:
    """A map of twice the size, cut or repeated at its end to the size of the next.

    Raises:
        ValueError: They are further apart than by rounding.
    """
    missing = [wanted - given for wanted, given in zip(size, doubled.shape[-2:])]
    if not any(missing):
        return doubled
    if max(map(abs, missing)) > 1:
        half = tuple(side // 2 for side in doubled.shape[-2:])
        raise ValueError(
            f'PEM takes maps with sides each twice those of the next, got {tuple(size)} before {half}: give it strides '
            '4, 8, 16 and 32'
        )
    doubled = doubled[..., : size[0], : size[1]]
    return F.pad(doubled, (0, max(missing[1], 0), 0, max(missing[0], 0)), mode='replicate')


def sine_positions(like: Tensor) -> Tensor:
    """Sines and cosines of the places of a map, as shares of its sides (DETR, `models/position_encoding.py`).

    Args:
        like: B x C x h x w, C a multiple of 4.

    Returns:
        1 x C x h x w in float32: for the row and then the column of a place C / 4 pairs of sine and cosine, of angles
        from the whole circle for the last row or column on, and ever smaller ones.
    """
    channels, *sides = like.shape[1:]
    powers = torch.arange(channels // 4, dtype=torch.float32, device=like.device) / (channels // 4)
    found = []
    for side in sides:
        places = torch.arange(1, side + 1, dtype=torch.float32, device=like.device) / (side + 1e-6) * (2 * torch.pi)
        angles = places[:, None] / 10000**powers
        found.append(torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).t())
    rows, columns = found
    rows, columns = rows[:, :, None].expand(-1, -1, sides[1]), columns[:, None, :].expand(-1, sides[0], -1)
    return torch.cat([rows, columns])[None]
