"""Attention of the places of a fine map to a window of a coarse map around each.

The rule is that of NATTEN's dilated neighbourhoods as NAF uses them (arXiv 2511.18452, `src/layers/attentions.py` of
valeoai/NAF): the coarse map is stretched to the fine one by the nearest cell, and a place attends to
every n-th place around it, n being how often the coarse map goes into the fine one. At a border the window is shifted,
never cut.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .precision import without_autocast
from .recompute import recomputed

GATHERED = 2**24
"""Numbers of keys and values that are gathered at once: 64 MB in float32."""


class NeighborhoodAttention(nn.Module):
    """Attention of a fine map to windows of a coarse one, without stretching the coarse one.

    Where the fine map is a whole multiple of the coarse one, all places in a cell share a window of cells. Windows are
    gathered some at a time, in the backward pass once more, so that memory grows with the maps and not with the
    windows. Logits are computed in float32 or wider, also under autocast.

    Args:
        num_heads: Heads. Each reads its own channels of queries and keys, and weighs its own channels of values.
        window: Side of a window in cells; of a coarse map with fewer cells all are taken, where NATTEN refuses.
        gathered: How many numbers of keys and values are gathered at once, at least one window.
    """

    def __init__(self, num_heads: int, window: int, gathered: int = GATHERED):
        super().__init__()
        self.num_heads, self.window, self.gathered = num_heads, window, gathered

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend.

        Args:
            query: B x (heads*d) x H x W.
            key: B x (heads*d) x h x w, with h <= H and w <= W.
            value: B x (heads*c) x h x w.

        Returns:
            B x (heads*c) x H x W, of the type of `value`.

        Raises:
            ValueError: The fine map is smaller than the coarse one, or channels are no multiple of the heads.
        """
        self._check(query, key, value)
        sides = zip(query.shape[-2:], key.shape[-2:])
        (rows, tall), (columns, wide) = (_windows(*each, self.window, query.device) for each in sides)
        width = key.shape[-1]
        # B x windows x heads x places that share one x d
        query = query.unflatten(-1, (-1, wide)).unflatten(-3, (-1, tall)).unflatten(1, (self.num_heads, -1))
        query = query.permute(0, 3, 5, 1, 4, 6, 2).flatten(4, 5).flatten(1, 2)
        key, value = (maps.flatten(2).transpose(1, 2) for maps in (key, value))
        count = query.shape[1]
        of_one = len(query) * rows.shape[1] * columns.shape[1] * (key.shape[-1] + value.shape[-1])
        step = max(self.gathered // of_one, 1)
        found = []
        for start in range(0, count, step):
            some = torch.arange(start, min(start + step, count), device=query.device)
            cells = rows[some // len(columns)][:, :, None] * width + columns[some % len(columns)][:, None]
            part = query[:, start : start + step]
            found.append(recomputed(self._attend, part, key, value, cells.flatten(1), when=step < count))
        found = torch.cat(found, 1).unflatten(3, (tall, wide)).unflatten(1, (len(rows), len(columns)))
        return found.permute(0, 3, 6, 1, 4, 2, 5).flatten(5, 6).flatten(3, 4).flatten(1, 2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, cells: Tensor) -> Tensor:
        """Places that share a window, B x n x heads x places x d, to the cells of it, n x cells."""
        key, value = (maps[:, cells].unflatten(-1, (self.num_heads, -1)).transpose(2, 3) for maps in (key, value))
        with without_autocast(query):
            logits = _wide(query) @ _wide(key).transpose(-2, -1) * query.shape[-1] ** -0.5
            return logits.softmax(-1).to(value.dtype) @ value

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        if torch.jit.is_tracing():
            return
        fine, coarse = tuple(query.shape[-2:]), tuple(key.shape[-2:])
        if fine[0] < coarse[0] or fine[1] < coarse[1]:
            raise ValueError(f'a map of {coarse} is to become one of {fine}: give a size that is not below it')
        for name, maps in (('queries', query), ('keys', key), ('values', value)):
            if maps.shape[1] % self.num_heads:
                raise ValueError(
                    f'{name} of {maps.shape[1]} channels are given to {self.num_heads} heads: '
                    'channels must be a multiple of the heads'
                )


class _Windows(NamedTuple):
    """Cells of each window along an axis, windows x side, and how many places in a row share a window."""

    cells: Tensor
    sharing: int


def _windows(fine: int, coarse: int, side: int, device: torch.device) -> _Windows:
    """The windows along an axis, as NATTEN chooses them with the dilation `fine // coarse`."""
    side = min(side, coarse)
    steps = torch.arange(side, device=device)
    if fine % coarse == 0:
        starts = (torch.arange(coarse, device=device) - side // 2).clamp(0, coarse - side)
        return _Windows(starts[:, None] + steps, fine // coarse)
    dilation = fine // coarse
    place = torch.arange(fine, device=device)
    residue = place % dilation
    in_class = (fine - residue + dilation - 1) // dilation
    starts = torch.minimum((place // dilation - side // 2).clamp(min=0), in_class - side)
    places = residue[:, None] + dilation * (starts[:, None] + steps)
    # By torch's own rounding, which is what the stretched map would be made with.
    cells = torch.arange(coarse, dtype=torch.float32, device=device)[None, None]
    nearest = F.interpolate(cells, size=fine, mode='nearest-exact')
    return _Windows(nearest[0, 0].long()[places], 1)


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
