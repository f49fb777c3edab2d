"""Absolute positions computed from the grid alone (ResFormer, arXiv 2212.00776)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_TEMPERATURE = 1e4


class SineConvPositions(nn.Module):
    """A sine code of rows and columns and a depth-wise convolution of it (`models.py:GlobalPosEmbed`).

    No table has to be resized: rows and columns are counted from 1 and divided by the last, so that the code of every
    grid runs over the same angles, up to 2 pi.

    Args:
        embed_dims: Channels of a token, a multiple of 4.
    """

    def __init__(self, embed_dims: int):
        super().__init__()
        if embed_dims % 4:
            raise ValueError(f"pos_embed='sine_conv' needs a multiple of 4 channels, got {embed_dims}")
        self.conv = nn.Conv2d(embed_dims, embed_dims, 3, padding=1, groups=embed_dims)

    def forward(self, grid: tuple[int, int]) -> Tensor:
        """Return 1 x h*w x embed_dims for a grid (h, w), row by row."""
        weight = self.conv.weight
        code = _sine_code(grid, weight.shape[0], weight.device)
        # Under autocast the convolution takes what it wants; else it computes in the type of its weights.
        return self.conv(code.to(weight.dtype)).flatten(2).transpose(1, 2)


def _sine_code(grid: tuple[int, int], embed_dims: int, device: torch.device) -> Tensor:
    """1 x embed_dims x h x w: half of the channels for rows, then half for columns, sines and cosines in turn."""
    half = embed_dims // 2
    pairs = torch.arange(half // 2, dtype=torch.float32, device=device)
    frequencies = _TEMPERATURE ** -(2 * pairs / half)
    codes = []
    for side in grid:
        angles = torch.arange(1, side + 1, dtype=torch.float32, device=device) * (2 * math.pi / (side + 1e-6))
        angles = angles[:, None] * frequencies
        codes.append(torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1))
    rows, columns = codes
    rows = rows.T[:, :, None].expand(-1, -1, grid[1])
    columns = columns.T[:, None].expand(-1, grid[0], -1)
    return torch.cat([rows, columns])[None]
