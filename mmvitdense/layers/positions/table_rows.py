"""How many rows a table of positions has for a grid, and which square grid a number of rows is of."""

from __future__ import annotations

import math
from collections.abc import Callable

Grid = tuple[int, int]

CLASS_POSITIONS = 1
"""Rows of the class token in a table of absolute positions that has them."""

CLASS_OFFSETS = 3
"""Rows of the class token in a table of biases: class token to patch, patch to class token, class token to itself."""


def num_positions(grid: Grid) -> int:
    """Rows of a table of absolute positions for a grid of (rows, columns) of patches."""
    return grid[0] * grid[1]


def num_axis_offsets(length: int) -> int:
    """Offsets between two patches of an axis: rows of a table of decomposed relative positions."""
    return 2 * length - 1


def num_offsets(grid: Grid) -> int:
    """Offsets between two patches of a grid: rows of a table of biases of relative positions."""
    return num_axis_offsets(grid[0]) * num_axis_offsets(grid[1])


def axis_length(offsets: int) -> int:
    """Patches of an axis that has so many offsets, the inverse of `num_axis_offsets`."""
    return (offsets + 1) // 2


def square_side(rows: int, count: Callable[[Grid], int] = num_positions) -> int | None:
    """Side of the square grid whose table has so many rows; None where no square has.

    Args:
        rows: How many the table has, without those of the class token.
        count: `num_positions` or `num_offsets`.
    """
    root = math.isqrt(max(rows, 0))
    side = root if count is num_positions else axis_length(root)
    return side if side and count((side, side)) == rows else None


def square_table(
    rows: int, count: Callable[[Grid], int] = num_positions, class_rows: int = CLASS_POSITIONS
) -> tuple[int, bool] | None:
    """Side of the square grid of a table, and whether the table has rows of the class token.

    Both readings are never possible at once: neither two squares differ by one nor two odd squares by three.

    Args:
        rows: How many the table has.
        count: `num_positions` or `num_offsets`.
        class_rows: `CLASS_POSITIONS` or `CLASS_OFFSETS`.

    Returns:
        None where the table is of no square grid.
    """
    for with_cls in (False, True):
        side = square_side(rows - class_rows * with_cls, count)
        if side is not None:
            return side, with_cls
    return None
