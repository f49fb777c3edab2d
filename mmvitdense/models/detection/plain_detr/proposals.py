"""Proposals at several strides from one map."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitdense.layers import LayerNorm2d, UpConv2d

from .geometry import MapGeometry


class MultiStrideProposals(BaseModule):
    """Features and anchors of a map at several strides (Plain-DETR; `dinov3/eval/detection/models/transformer.py`).

    The map is doubled by transposed convolutions and halved by convolutions of 2 x 2, as often as a stride asks for,
    with a norm and a GELU between two of them; a map too small for a stride is padded. Each place has one square
    anchor. Where one of the four numbers of an anchor is not between a hundredth and 99 hundredths of the size of the
    image, the features are zero and all four numbers are the longer side of the padded image.

    Args:
        embed_dims: Channels of the map.
        factors: Strides in strides of the map, powers of two.
        min_size: Side of the anchors of the first stride in pixels, doubled with each that follows.

    Raises:
        ValueError: A factor is no power of two.
    """

    def __init__(
        self,
        embed_dims: int,
        factors: Sequence[float] = (0.5, 1, 2, 4),
        min_size: float = 50,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.factors, self.min_size = tuple(factors), min_size
        self.projections = nn.ModuleList(_projection(embed_dims, factor) for factor in factors)
        self.output = nn.Linear(embed_dims, embed_dims)
        self.norm = nn.LayerNorm(embed_dims)

    def init_weights(self) -> None:
        """As published: matrices by Xavier."""
        super().init_weights()
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, memory: Tensor, geometry: MapGeometry) -> tuple[Tensor, Tensor]:
        """Make proposals of the output of an encoder.

        Args:
            memory: B x h*w x C.
            geometry: That of the map.

        Returns:
            Features, B x N x C, and anchors (middle and size in pixels), B x N x 4; those of the first stride first.
        """
        memory_map = memory.transpose(1, 2).unflatten(-1, geometry.grid)
        maps = [projection(_at_least(memory_map, factor)) for factor, projection in zip(self.factors, self.projections)]
        sizes = [level.shape[-2:] for level in maps]
        features = torch.cat([level.flatten(2).transpose(1, 2) for level in maps], dim=1)
        anchors = torch.cat([self._anchors(index, size, geometry) for index, size in enumerate(sizes)])
        limits = geometry.limits.repeat(1, 2)[:, None]
        valid = ((anchors > 0.01 * limits) & (anchors < 0.99 * limits)).all(dim=-1, keepdim=True)
        if geometry.padding is not None:
            padding = torch.cat([geometry.padding_at(size).flatten(1) for size in sizes], dim=1)
            valid = valid & ~padding[..., None]
        outside = float(max(geometry.grid) * geometry.stride)
        features = self.norm(self.output(features.masked_fill(~valid, 0.0)))
        return features, torch.where(valid, anchors, outside)

    def _anchors(self, index: int, size: torch.Size, geometry: MapGeometry) -> Tensor:
        """h*w x 4."""
        stride, side = self.factors[index] * geometry.stride, self.min_size * 2.0**index
        rows, columns = (
            (torch.arange(length, dtype=torch.float32, device=geometry.limits.device) + 0.5) * stride for length in size
        )
        y, x = torch.meshgrid(rows, columns, indexing='ij')
        return torch.stack([x, y, torch.full_like(x, side), torch.full_like(x, side)], dim=-1).flatten(0, 1)


def _at_least(memory_map: Tensor, side: float) -> Tensor:
    """The map with zeros at the bottom and on the right where it is too small for one place of a stride."""
    height, width = (max(math.ceil(side) - length, 0) for length in memory_map.shape[-2:])
    return F.pad(memory_map, (0, width, 0, height)) if height or width else memory_map


def _projection(embed_dims: int, factor: float) -> nn.Module:
    """From the stride of the map to so many times it."""
    if factor <= 0:
        raise ValueError(f'factors got {factor}; expected powers of two, such as 0.5, 1 and 2.')
    ratio = factor if factor >= 1 else 1 / factor
    times = int(ratio).bit_length() - 1
    if ratio != 2**times:
        raise ValueError(f'factors got {factor}; expected powers of two, such as 0.5, 1 and 2.')
    layers = []
    for number in range(times):
        if number:
            layers += [LayerNorm2d(embed_dims, eps=1e-5), nn.GELU()]
        if factor > 1:
            layers.append(nn.Conv2d(embed_dims, embed_dims, 2, stride=2))
        else:
            layers.append(UpConv2d(embed_dims, embed_dims))
    return nn.Sequential(*layers)
