"""Attention along the rows and the columns of a map, with three tables of relative positions (arXiv 2003.07853)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmvitdense.layers import build_norm2d

from .kmax_conv import draw_cut_normal

_SPAN = 255


class AxisAttention(nn.Module):
    """Attention of the places of a row to those of the same row (`kmax_pixel_decoder.py:AxialAttention`).

    Logits are the sum of three, each with a norm over the batch for each head: queries by keys, queries by positions,
    keys by positions. So is the result of two: weighted values, and weighted positions. The code of kMaX-DeepLab takes
    rows of one length, that of its images; here any length up to 255 takes its part of the same tables.

    Args:
        in_channels: Channels of the map.
        key_channels: Of queries and of keys, of all heads together.
        value_channels: Of the values and of the result.
        num_heads: Heads.
        norm_cfg: See `build_norm2d`.
    """

    def __init__(self, in_channels: int, key_channels: int, value_channels: int, num_heads: int, norm_cfg: dict):
        super().__init__()
        self.num_heads = num_heads
        self.splits = (key_channels, key_channels, value_channels)
        self.qkv = nn.Conv2d(in_channels, sum(self.splits), 1, bias=False)
        self.qkv_norm = build_norm2d(norm_cfg, sum(self.splits))
        self.query_table = nn.Parameter(torch.empty(2 * _SPAN - 1, key_channels // num_heads))
        self.key_table = nn.Parameter(torch.empty(2 * _SPAN - 1, key_channels // num_heads))
        self.value_table = nn.Parameter(torch.empty(2 * _SPAN - 1, value_channels // num_heads))
        self.logit_norm = build_norm2d(norm_cfg, 3 * num_heads)
        self.output_norm = build_norm2d(norm_cfg, 2 * value_channels)

    def reset_parameters(self) -> None:
        """Draw the projection so that it keeps the variance, and the tables."""
        draw_cut_normal(self.qkv.weight, self.qkv.in_channels**-0.5)
        for table in (self.query_table, self.key_table, self.value_table):
            draw_cut_normal(table, 1.0)

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x in_channels x r x l, r rows of l places, to B x value_channels x r x l.

        Raises:
            ValueError: A row has more than 255 places.
        """
        length = maps.shape[-1]
        if length > _SPAN:
            raise ValueError(
                f'axial attention has positions for {_SPAN} places in a row, got a map with {length}: give it smaller '
                "images, or blocks of type 'bottleneck' for this map"
            )
        splits = self.qkv_norm(self.qkv(maps)).split(self.splits, dim=1)
        queries, keys, values = (x.unflatten(1, (self.num_heads, -1)) for x in splits)
        # The place attended to before the one that attends, in rows of the tables.
        places = torch.arange(length, device=maps.device)
        steps = places[None, :] - places[:, None] + _SPAN - 1
        query_table, key_table, value_table = (
            table[steps] for table in (self.query_table, self.key_table, self.value_table)
        )
        logits = torch.cat(
            [
                torch.einsum('bhcrl,bhcrm->brhlm', queries, keys),
                torch.einsum('bhcrl,lmc->brhlm', queries, query_table),
                torch.einsum('bhcrm,lmc->brhlm', keys, key_table),
            ],
            dim=2,
        )
        logits = self.logit_norm(logits.flatten(0, 1)).unflatten(1, (3, self.num_heads)).sum(1)
        weights = logits.softmax(-1, dtype=torch.float32).to(values.dtype).unflatten(0, (maps.shape[0], -1))
        found = torch.cat(
            [
                torch.einsum('brhlm,bhcrm->bhcrl', weights, values),
                torch.einsum('brhlm,lmc->bhcrl', weights, value_table),
            ],
            dim=1,
        )
        return self.output_norm(found.flatten(1, 2)).unflatten(1, (2, -1)).sum(1)


class AxialAttention(nn.Module):
    """Attention along the columns of a map, then along its rows; arguments as in `AxisAttention`."""

    def __init__(self, in_channels: int, key_channels: int, value_channels: int, num_heads: int, norm_cfg: dict):
        super().__init__()
        self.height = AxisAttention(in_channels, key_channels, value_channels, num_heads, norm_cfg)
        self.width = AxisAttention(value_channels, key_channels, value_channels, num_heads, norm_cfg)

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x in_channels x h x w to B x value_channels x h x w."""
        return self.width(self.height(maps.mT).mT)
