"""Cutting a token map into square windows and putting it together again (ViTDet, arXiv 2203.16527 section 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pad_to_windows(tokens: Tensor, window_size: int, fill: Tensor | None = None) -> Tensor:
    """Pad a map at the bottom and on the right until windows tile it.

    Args:
        tokens: B x H x W x C.
        window_size: Side of a window in tokens.
        fill: C values for the new tokens; zeros when None.

    Returns:
        B x H' x W' x C with H' and W' the next multiples of `window_size`.
    """
    batch, height, width, channels = tokens.shape
    bottom, right = -height % window_size, -width % window_size
    if not bottom and not right:
        return tokens
    if fill is None:
        return F.pad(tokens, (0, 0, 0, right, 0, bottom))
    fill = fill.to(tokens.dtype)
    if right:
        tokens = torch.cat([tokens, fill.expand(batch, height, right, channels)], dim=2)
    if bottom:
        tokens = torch.cat([tokens, fill.expand(batch, bottom, width + right, channels)], dim=1)
    return tokens


def window_partition(tokens: Tensor, window_size: int) -> Tensor:
    """Cut B x H x W x C, H and W multiples of the window, into (B*windows) x window_size**2 x C, row by row."""
    batch, height, width, channels = tokens.shape
    rows, columns = height // window_size, width // window_size
    windows = tokens.reshape(batch, rows, window_size, columns, window_size, channels)
    return windows.transpose(2, 3).reshape(batch * rows * columns, window_size**2, channels)


def window_merge(windows: Tensor, window_size: int, grid: tuple[int, int]) -> Tensor:
    """Undo `pad_to_windows` and `window_partition`.

    Args:
        windows: (B*windows) x window_size**2 x C.
        window_size: Side of a window in tokens.
        grid: Height and width of the map before padding.

    Returns:
        B x grid_h x grid_w x C.
    """
    rows, columns = ((side + window_size - 1) // window_size for side in grid)
    batch = windows.shape[0] // (rows * columns)
    tokens = windows.reshape(batch, rows, columns, window_size, window_size, -1).transpose(2, 3)
    tokens = tokens.reshape(batch, rows * window_size, columns * window_size, -1)
    return tokens[:, : grid[0], : grid[1]]
