"""Which blocks of a ViT with decomposed relative positions have windows, read off the lengths of their tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmvitdense.layers.positions.table_rows import axis_length

_TABLE = re.compile(r'^blocks\.(\d+)\.attn\.rel_pos_h$')


def table_sides(weights: Mapping[str, Tensor]) -> dict[int, int]:
    """{block: rows of the grid that its tables span}, from names of `PlainViT`."""
    return {int(match[1]): axis_length(len(x)) for name, x in weights.items() if (match := _TABLE.match(name))}


def window_plan(weights: Mapping[str, Tensor], patch_size: int) -> dict[str, Any]:
    """Options of `PlainViT` for tables of two sizes or more; tables of one size are taken for the whole map.

    The last blocks of each quarter are global in all published models. Where the tables of exactly these have one size
    and all others another, they are those of the map, even where a window is larger than it; else the longest are.
    """
    sides = table_sides(weights)
    whole = _whole_map(sides)
    columns = max(axis_length(len(weights[f'blocks.{i}.attn.rel_pos_w'])) for i, side in sides.items() if side == whole)
    height, width = whole * patch_size, columns * patch_size
    options: dict[str, Any] = {'img_size': height if height == width else (height, width)}
    windows = sorted(set(sides.values()) - {whole})
    if not windows:
        return options
    if len(windows) == 1:
        global_blocks = tuple(sorted(index for index, side in sides.items() if side == whole))
        return {**options, 'window_size': windows[0], 'global_blocks': global_blocks}
    return {**options, 'window_size': [0 if sides[i] == whole else sides[i] for i in sorted(sides)]}


def guessed_windows(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """{option: why it is a guess} for models that may have windows."""
    sides = table_sides(weights)
    sizes = sorted(set(sides.values()))
    if not sizes:
        return {'window_size': 'without relative positions nothing in the weights shows windows'}
    if len(sizes) == 1:
        return {
            'window_size': f'all tables of relative positions span {sizes[0]} tokens, as for windows in every block '
            '(window_size with global_blocks=()) or for the whole map in every block (window_size=0)'
        }
    if _published_blocks(sides) in _blocks_by_size(sides).values():
        return {}
    return {
        'window_size': f'the tables of relative positions span {" or ".join(map(str, sizes))} tokens, and the longest '
        'are taken for those of the whole map'
    }


def windows_of_vitdet(weights: Mapping[str, Tensor], grid_side: int | None) -> dict[str, Any]:
    """Options of a detector's ViT where its tables do not show windows: those of ViTDet, a guess.

    Windows have the side of the pre-training grid. Without relative positions the last block of each quarter is global.
    Tables of that side in every block are of windows, as no detector sees images of the pre-training size; so are those
    of one size in a model with convolutional propagation, which replaces global attention.

    Args:
        weights: Names of `PlainViT`.
        grid_side: Side of the pre-training grid in tokens, None without a table of positions.
    """
    sides = table_sides(weights)
    if not sides:
        return {} if grid_side is None else {'window_size': grid_side}
    (size, *others) = set(sides.values())
    propagates = any('.residual.' in name for name in weights)
    if others or not (propagates or size == grid_side):
        return {}
    return {'window_size': size, 'global_blocks': ()}


def _whole_map(sides: Mapping[int, int]) -> int:
    published = _published_blocks(sides)
    for size, blocks in _blocks_by_size(sides).items():
        if blocks == published:
            return size
    return max(sides.values())


def _blocks_by_size(sides: Mapping[int, int]) -> dict[int, tuple[int, ...]]:
    return {size: tuple(sorted(i for i in sides if sides[i] == size)) for size in set(sides.values())}


def _published_blocks(sides: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(len(sides) * quarter // 4 - 1 for quarter in (1, 2, 3, 4))
