"""Decomposed relative positions (MViTv2, ViTDet, SAM) and attention with them.

The logit of query (y, x) and key (y', x') is `q.k / sqrt(d) + q.Rh[y - y'] + q.Rw[x - x']`, with q not scaled in the
relative terms (detectron2 `modeling/backbone/utils.py:add_decomposed_rel_pos`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers.sliced_attention import sliced_attention

from .attention_position import AttentionPosition
from .table_rows import num_axis_offsets


@dataclass(frozen=True)
class DecomposedTables:
    """Tables of the rows and columns of a grid (h, w), of another of which they are resized."""

    grid: tuple[int, int]

    def shapes(self, num_heads: int, head_dims: int) -> dict[str, tuple[int, ...]]:
        """See `PositionTables`."""
        return {name: (num_axis_offsets(side), head_dims) for name, side in zip(('rel_pos_h', 'rel_pos_w'), self.grid)}

    def position(self, owner: nn.Module, grid: tuple[int, int], prefix: int) -> AttentionPosition:
        """See `PositionTables`."""
        return AttentionPosition(decomposed=(owner.rel_pos_h, owner.rel_pos_w))

    def grids(self) -> dict[str, tuple[int, int]]:
        """Nothing: the length of a table of one axis is its number of rows."""
        return {}


IMPLEMENTATIONS = ('augmented', 'sliced', 'eager')


def axis_table(table: Tensor, length: int) -> Tensor:
    """Spread the table of one axis over pairs of positions.

    Args:
        table: (2*n - 1) x d, row `n - 1` for equal positions. Resized linearly when n is not `length`.
        length: Number of positions along the axis.

    Returns:
        length x length x d; entry (i, j) belongs to query i and key j. float32 or wider where it was resized.
    """
    rows = num_axis_offsets(length)
    if table.shape[0] != rows:
        table = table if table.dtype == torch.float64 else table.float()
        table = F.interpolate(table.T[None], size=rows, mode='linear', align_corners=False)[0].T
    position = torch.arange(length, device=table.device)
    return table[position[:, None] - position[None, :] + length - 1]


def relative_logits(
    query: Tensor, table_h: Tensor, table_w: Tensor, grid: tuple[int, int], factor: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Relative terms of the logits, one for each axis.

    Args:
        query: B x heads x h*w x d.
        table_h, table_w: Tables of the two axes, see `axis_table`.
        grid: (h, w).
        factor: Multiplies the result (applied to the tables, before they are cast to the type of `query`).

    Returns:
        Terms of the rows, B x heads x h*w x h, and of the columns, B x heads x h*w x w.
    """
    height, width = grid
    maps = query.unflatten(2, grid)
    rows = (axis_table(table_h, height) * factor).to(query.dtype)
    columns = (axis_table(table_w, width) * factor).to(query.dtype)
    logits_h = torch.einsum('bnyxd,ykd->bnyxk', maps, rows)
    logits_w = torch.einsum('bnyxd,xkd->bnyxk', maps, columns)
    return logits_h.flatten(2, 3), logits_w.flatten(2, 3)


FASTEST = {
    # device and whether numbers have 16 bits: (inference up to FEW_TOKENS, with more, training)
    ('cpu', False): ('sliced', 'sliced', 'sliced'),
    ('cpu', True): ('eager', 'sliced', 'eager'),
    ('cuda', False): ('augmented', 'augmented', 'augmented'),
    ('cuda', True): ('augmented', 'augmented', 'augmented'),
}
"""Implementation as measured (docs/attention.md). Neither 'sliced' nor 'augmented' keeps a tensor of all pairs for the
backward pass."""
FEW_TOKENS = 400


def choose_implementation(query: Tensor) -> str:
    """Fastest implementation for this tensor; that of CUDA on other devices.

    Nothing is computed on the meta device: whoever counts operations there sees those of the definition, 'eager'.
    """
    if query.device.type == 'meta':
        return 'eager'
    device = 'cpu' if query.device.type == 'cpu' else 'cuda'
    few, many, training = FASTEST[device, query.dtype in (torch.bfloat16, torch.float16)]
    if torch.is_grad_enabled() and query.requires_grad:
        return training
    return few if query.shape[-2] <= FEW_TOKENS else many


def attention_with_relative_position(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    table_h: Tensor,
    table_w: Tensor,
    grid: tuple[int, int],
    implementation: str | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Scaled dot-product attention with decomposed relative positions between the tokens of a map.

    Args:
        query, key, value: B x heads x (p + h*w) x d; the first p tokens (class, registers) have no position, so
            pairs with them get no relative term.
        table_h, table_w: Tables of the two axes, see `axis_table`.
        grid: (h, w).
        implementation: 'augmented' folds the relative terms into wider queries and keys (exact: the terms have rank
            h + w), 'sliced' adds them in slices that stay in the cache (see `sliced_attention`), 'eager' computes
            all N x N x heads logits. None takes `choose_implementation`, and 'augmented' where there is a mask, of
            which 'sliced' takes none. All compute the same function.
        mask: As that of `F.scaled_dot_product_attention`, broadcast to B x heads x N x N.

    Returns:
        B x heads x (p + h*w) x d.
    """
    if implementation is None:
        implementation = choose_implementation(query)
        if mask is not None and query.device.type != 'meta':
            implementation = 'augmented'
    prefix = query.shape[-2] - grid[0] * grid[1]
    patches = query[..., prefix:, :]
    if implementation == 'augmented':
        scale = query.shape[-1] ** 0.5
        logits = relative_logits(patches, table_h, table_w, grid, factor=scale)
        return _augmented(query, key, value, logits, grid, prefix, mask)
    logits_h, logits_w = relative_logits(patches, table_h, table_w, grid)
    if implementation == 'sliced':
        if mask is not None:
            raise ValueError("implementation='sliced' takes no mask: use 'augmented'")
        return sliced_attention(query, key, value, (logits_h, logits_w), prefix)
    bias = (logits_h[..., :, None] + logits_w[..., None, :]).flatten(-2)
    if prefix:
        bias = F.pad(bias, (prefix, 0, prefix, 0))
    if implementation == 'eager':
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1) + with_mask(bias, mask)
        return scores.softmax(dim=-1).to(value.dtype) @ value
    raise ValueError(f"implementation must be None or one of {IMPLEMENTATIONS}, got '{implementation}'")


def with_mask(bias: Tensor, mask: Tensor | None) -> Tensor:
    """Add a mask, true where a query sees a key or a number for the logit, to a bias of the logits."""
    if mask is None:
        return bias
    return torch.where(mask, bias, float('-inf')) if mask.dtype == torch.bool else bias + mask


def _augmented(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    logits: tuple[Tensor, Tensor],
    grid: tuple[int, int],
    prefix: int,
    mask: Tensor | None,
) -> Tensor:
    height, width = grid
    dims = query.shape[-1]
    # Fused kernels want the width of a head to be a multiple of 8.
    spare = -(dims + height + width) % 8
    position = torch.arange(height * width, device=key.device)
    one_hot = torch.cat([F.one_hot(position // width, height), F.one_hot(position % width, width)], dim=-1)
    one_hot = F.pad(one_hot.to(key.dtype), (0, spare, prefix, 0)).expand(*key.shape[:2], -1, -1)
    terms = F.pad(torch.cat(logits, dim=-1), (0, spare, prefix, 0))
    query = torch.cat([query, terms], dim=-1)
    key = torch.cat([key, one_hot], dim=-1)
    if query.device.type == 'cpu':
        # The CPU kernel takes one width for all three.
        value = F.pad(value, (0, query.shape[-1] - dims))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=dims**-0.5)[..., :dims]
