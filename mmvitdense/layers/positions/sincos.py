"""Absolute positions that are sines and cosines of the row and the column."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SINES = ('sincos_mae', 'sincos_bv')
"""Kinds: MAE's, and big_vision's, whose last frequency is 1/10000 itself; both have columns before rows."""


class SinCosPositions(nn.Module):
    """Positions computed for each grid, from 0 at the first patch: no table is stored, and none is resized.

    Args:
        embed_dims: Channels of a token, a multiple of 4.
        kind: 'sincos_mae' (AIMv2 native; apple/ml-aim `aim/v1/torch/layers.py:SinCosPosEmbed`) or 'sincos_bv'
            (OpenVision and the plain ViTs of google-research/big_vision `models/vit.py:posemb_sincos_2d`).
    """

    def __init__(self, embed_dims: int, kind: str):
        super().__init__()
        _check(embed_dims, kind)
        self.embed_dims, self.kind = embed_dims, kind

    def forward(self, grid: tuple[int, int], device: torch.device | None = None) -> Tensor:
        """Return 1 x h*w x embed_dims in float32 for a grid (h, w), row by row."""
        return sincos_position_table(grid, self.embed_dims, self.kind, torch.float32, device)

    def extra_repr(self) -> str:
        return f'{self.embed_dims}, {self.kind!r}'


def sincos_position_table(
    grid: tuple[int, int],
    embed_dims: int,
    kind: str = 'sincos_mae',
    dtype: torch.dtype = torch.float64,
    device: torch.device | None = None,
) -> Tensor:
    """A fixed table, by default that of MAE (arXiv 2111.06377; `util/pos_embed.py`).

    Args:
        grid: Rows and columns.
        embed_dims: Channels, a multiple of 4. A quarter each are the sine and the cosine of the column, then of the
            row, times frequencies from 1 down to 1/10000.
        kind: One of `SINES`. Of n frequencies the last of 'sincos_mae' is 1/10000 to the power (n - 1) / n.
        dtype: What is computed in.
        device: Where.

    Returns:
        1 x rows*columns x embed_dims in float32, row by row.

    Raises:
        ValueError: `embed_dims` is no multiple of 4, or there is no such kind.
    """
    _check(embed_dims, kind)
    quarter = embed_dims // 4
    steps = quarter if kind == 'sincos_mae' else max(quarter - 1, 1)
    frequencies = 1e4 ** -(torch.arange(quarter, dtype=dtype, device=device) / steps)
    rows, columns = (torch.arange(side, dtype=dtype, device=device)[:, None] * frequencies for side in grid)
    rows = rows[:, None].expand(-1, grid[1], -1)
    columns = columns[None].expand(grid[0], -1, -1)
    table = torch.cat([columns.sin(), columns.cos(), rows.sin(), rows.cos()], dim=-1)
    return table.flatten(0, 1)[None].float()


def _check(embed_dims: int, kind: str) -> None:
    if kind not in SINES:
        raise ValueError(f'sines and cosines as positions are one of {SINES}, got {kind!r}')
    if embed_dims % 4:
        raise ValueError(f'a table of sines and cosines needs a multiple of 4 channels, got {embed_dims}')
