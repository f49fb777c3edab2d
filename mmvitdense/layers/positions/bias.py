"""Relative-position bias of BEiT: a learned number for each head and each offset between two patches.

The table has (2*h - 1) * (2*w - 1) rows for the offsets (query minus key, rows first) and, where there is a class
token, three more: class token to patch, patch to class token, class token to itself (`beit/modeling_finetune.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor, nn

from mmvitdense.ops.recording import constant, is_exporting

from .attention_position import AttentionPosition, OwnsTables
from .table_rows import CLASS_OFFSETS, num_axis_offsets, num_offsets


def num_bias_rows(grid: tuple[int, int], with_cls_token: bool) -> int:
    """Rows of the table for a grid of (h, w) patches."""
    return num_offsets(grid) + CLASS_OFFSETS * with_cls_token


@dataclass(frozen=True)
class BiasTable:
    """A table kept at a grid (h, w), resized to others; with or without the three rows of the class token."""

    grid: tuple[int, int]
    with_cls_token: bool = False

    def shapes(self, num_heads: int, head_dims: int) -> dict[str, tuple[int, ...]]:
        """See `PositionTables`."""
        return {'relative_position_bias_table': (num_bias_rows(self.grid, self.with_cls_token), num_heads)}

    def position(self, owner: nn.Module, grid: tuple[int, int], prefix: int) -> AttentionPosition:
        """See `PositionTables`."""
        table = owner.relative_position_bias_table
        return AttentionPosition(bias=relative_position_bias(table, self.grid, grid, prefix, self.with_cls_token))

    def offsets(self, owner: nn.Module, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """What `position` spreads over pairs of tokens, as `map_attention` takes it."""
        table = owner.relative_position_bias_table
        maps, cls_rows = _of_offsets(table, self.grid, grid, self.with_cls_token)
        cls_rows = table.new_zeros(CLASS_OFFSETS, table.shape[1]) if cls_rows is None else cls_rows
        return maps.flip(1, 2).float(), cls_rows.T.float()

    def grids(self) -> dict[str, tuple[int, int]]:
        """See `PositionTables`."""
        return {'relative_position_bias_table': tuple(self.grid)}


class RelativePositionBias(OwnsTables):
    """A table of relative-position biases that blocks share, usable at any grid.

    Args:
        num_heads: Attention heads.
        table_grid: Grid (h, w) of the table.
        with_cls_token: Whether the table has the three rows of the class token.
    """

    def __init__(self, num_heads: int, table_grid: tuple[int, int], with_cls_token: bool):
        super().__init__()
        self.add_tables(BiasTable(tuple(table_grid), with_cls_token), num_heads, 0)

    def forward(self, grid: tuple[int, int], num_prefix_tokens: int = 0) -> Tensor:
        """Return heads x N x N, see `relative_position_bias`."""
        return self.own_position(grid, num_prefix_tokens).bias


def relative_position_bias(
    table: Tensor, table_grid: tuple[int, int], grid: tuple[int, int], num_prefix_tokens: int, with_cls_token: bool
) -> Tensor:
    """Spread a table over pairs of tokens.

    Args:
        table: Rows x heads, see `num_bias_rows`.
        table_grid: Grid (h, w) of the table.
        grid: Grid of the patches; the table is resized where it has another.
        num_prefix_tokens: Tokens before the patches. All of them use the rows of the class token.
        with_cls_token: Whether the table has these rows; without them the pairs of such tokens get zero.

    Returns:
        heads x N x N with N = num_prefix_tokens + h*w, to be added to the logits.
    """
    height, width = grid
    maps, cls_rows = _of_offsets(table, table_grid, grid, with_cls_token)
    # Entry (y, x, y', x') is the offset (y - y', x - x'): windows that slide over the reversed table.
    pairs = maps.flip(1, 2).unfold(1, height, 1).unfold(2, width, 1).flip(1, 2)
    bias = pairs.flatten(3, 4).flatten(1, 2)
    return _with_prefix(bias, cls_rows, num_prefix_tokens) if num_prefix_tokens else bias


def _of_offsets(
    table: Tensor, table_grid: tuple[int, int], grid: tuple[int, int], with_cls_token: bool
) -> tuple[Tensor, Tensor | None]:
    """Biases of offsets of a grid, heads x (2*h - 1) x (2*w - 1), and the rows of the class token if there are any."""
    offsets, cls_rows = table, None
    if with_cls_token:
        offsets, cls_rows = table[:-CLASS_OFFSETS], table[-CLASS_OFFSETS:]
    if tuple(grid) != tuple(table_grid):
        offsets = resize_bias_table(offsets, table_grid, grid)
    return offsets.T.unflatten(1, tuple(num_axis_offsets(side) for side in grid)), cls_rows


def _with_prefix(bias: Tensor, cls_rows: Tensor | None, count: int) -> Tensor:
    heads, patches, _ = bias.shape
    cls_rows = bias.new_zeros(CLASS_OFFSETS, heads) if cls_rows is None else cls_rows
    to_patch, from_patch, to_itself = cls_rows[:, :, None, None]
    left = from_patch.expand(heads, patches, count)
    top = torch.cat([to_itself.expand(heads, count, count), to_patch.expand(heads, count, patches)], dim=2)
    return torch.cat([top, torch.cat([left, bias], dim=2)], dim=1)


def resize_bias_table(table: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """Resize the table by BEiT's rule, applied to each axis (`beit/run_class_finetuning.py`, square there).

    Offsets of the source are laid out from the centre with distances that grow by a constant factor, such that the
    outermost ones meet those of the target; a cubic spline through them is read at the offsets of the target. Small
    offsets, which matter most, keep their values almost exactly.

    Args:
        table: (2*h - 1) * (2*w - 1) x heads, without the rows of the class token.
        source: Grid (h, w) of the table.
        target: Grid wanted.

    Returns:
        The table of the target grid, in the type of `table`.
    """
    if len(table) != num_offsets(source):
        raise ValueError(
            f'the table of relative-position biases has {len(table)} rows, a grid of {source[0]} x {source[1]} has '
            f'{num_offsets(source)}: remove the rows of the class token first, or give the grid of the table'
        )
    # Autocast leaves float64 alone, and 16 bits would blur neighbouring offsets.
    maps = table.to(_widest(table.device))
    maps = maps.unflatten(0, tuple(map(num_axis_offsets, source)))
    for axis, (old, new) in enumerate(zip(source, target)):
        matrix = _resizing(num_axis_offsets(int(old)), num_axis_offsets(int(new)), maps)
        maps = torch.tensordot(matrix, maps.movedim(axis, 0), dims=1).movedim(0, axis)
    return maps.flatten(0, 1).to(table.dtype)


def _widest(device: torch.device) -> torch.dtype:
    """The widest floating-point type of a device: Apple's GPUs have no float64."""
    return torch.float32 if device.type == 'mps' else torch.float64


def _resizing(source: int, target: int, like: Tensor) -> Tensor:
    if is_exporting():
        return constant(partial(_spline_matrix, source, target)).to(like)
    return spline_matrix(source, target, like.device, like.dtype)


@torch.library.custom_op(
    'mmvitdense::geometric_spline_matrix',
    mutates_args=(),
    schema='(int source, int target, Device device, ScalarType dtype) -> Tensor',
)
def spline_matrix(source: int, target: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Matrix, target x source, that resizes an axis of `source` offsets (odd) to `target`.

    An operator, so that compilers see one node instead of the search for the factor.
    """
    return _spline_matrix_on(source, target, device, dtype).clone()


@spline_matrix.register_fake
def _(source, target, device, dtype):
    return torch.empty(target, source, device=device, dtype=dtype)


@lru_cache(maxsize=64)
def _spline_matrix_on(source: int, target: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Kept on the device: a copy to a GPU waits for it, and no CUDA graph may have one."""
    return _spline_matrix(source, target).to(device, dtype)


@lru_cache(maxsize=64)
def _spline_matrix(source: int, target: int) -> Tensor:
    half = source // 2
    factor = _growth(half, target // 2)
    steps = factor ** torch.arange(half, dtype=torch.float64)
    distances = steps.cumsum(0)
    known = torch.cat([-distances.flip(0), torch.zeros(1, dtype=torch.float64), distances])
    wanted = torch.arange(target, dtype=torch.float64) - target // 2
    # FITPACK, which the rule was written with, holds the outermost values.
    wanted = wanted.clamp(known[0], known[-1])
    if source == 1:
        return torch.ones(target, 1, dtype=torch.float64)
    degree = min(3, source - 1)
    inner = known[(degree + 1) // 2 : source - (degree + 1) // 2]
    ends = [known[[index]].expand(degree + 1) for index in (0, -1)]
    knots = torch.cat([ends[0], inner[: source - degree - 1], ends[1]])
    return torch.linalg.solve(_b_splines(known, knots, degree), _b_splines(wanted, knots, degree), left=False)


def _growth(count: int, reach: int) -> float:
    """Factor of a geometric series of `count` terms from 1 that sums to `reach`, between 1.01 and 1.5."""
    low, high = 1.01, 1.5
    middle = (low + high) / 2
    while high - low > 1e-6:
        middle = (low + high) / 2
        if (1 - middle**count) / (1 - middle) > reach:
            high = middle
        else:
            low = middle
    return middle


def _b_splines(points: Tensor, knots: Tensor, degree: int) -> Tensor:
    """Values of all B-splines at the points, by the recursion of Cox and de Boor."""
    last = int((knots < knots[-1]).sum()) - 1
    segment = (torch.searchsorted(knots, points, right=True) - 1).clamp(degree, last)
    values = torch.zeros(len(points), len(knots) - 1, dtype=points.dtype)
    values[torch.arange(len(points)), segment] = 1.0
    for order in range(1, degree + 1):
        count = len(knots) - 1 - order
        left, right = knots[:count], knots[order + 1 :]
        rise = (points[:, None] - left) / (knots[order : order + count] - left)
        fall = (right - points[:, None]) / (right - knots[1 : count + 1])
        values = rise.nan_to_num(0.0, 0.0, 0.0) * values[:, :-1] + fall.nan_to_num(0.0, 0.0, 0.0) * values[:, 1:]
    return values
