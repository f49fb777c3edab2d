"""The positions of a ViT in words: kinds, grids, images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmvitdense.layers.positions.table_rows import (
    CLASS_OFFSETS,
    CLASS_POSITIONS,
    axis_length,
    num_offsets,
    num_positions,
    square_table,
)

Grid = tuple[int, int]


def positions_of(
    weights: Mapping[str, Tensor],
    rope: str | None,
    recorded: Mapping[str, Grid],
    patch_size: int,
    sincos: str | None = None,
) -> list[dict[str, Any]]:
    """Each kind of positions that a ViT has.

    Args:
        weights: Names of `PlainViT`.
        rope: Kind of rotary positions, None for none.
        recorded: {name of a table: (rows, columns)} that the file or its format knows; other tables are square.
        patch_size: Pixels of a patch.
        sincos: Kind of sines and cosines that the model computes, None for none.

    Returns:
        Dicts with 'kind' and, where there is a table, 'grid' (rows and columns of patches), 'image' (height and width
        in pixels) and 'class_rows', whether the class token has rows; 'grid' is None where the table is no square and
        nothing records its grid.
    """
    found = []
    if 'pos_embed' in weights:
        rows = weights['pos_embed'].shape[1]
        grid = recorded.get('pos_embed')
        found.append({'kind': 'absolute table', **_table(rows, grid, num_positions, CLASS_POSITIONS, patch_size)})
    if sincos is not None:
        found.append({'kind': f'sines and cosines, computed at each grid ({sincos})'})
    if 'sine_conv.conv.weight' in weights:
        found.append({'kind': 'sines through a convolution'})
    if rope is not None:
        found.append({'kind': f'rotary ({rope})'})
    biases = [name for name in weights if name.endswith('relative_position_bias_table')]
    if biases:
        shared = '' if biases[0].startswith('blocks.') else ', one for all blocks'
        size = _table(len(weights[biases[0]]), recorded.get(biases[0]), num_offsets, CLASS_OFFSETS, patch_size)
        found.append({'kind': f'relative biases{shared}', **size})
    spans = sorted({axis_length(len(x)) for name, x in weights.items() if name.endswith(('rel_pos_h', 'rel_pos_w'))})
    if spans:
        found.append({'kind': 'decomposed relative tables', 'spans': spans})
    return found


def _table(rows: int, grid: Grid | None, count: Any, class_rows: int, patch_size: int) -> dict[str, Any]:
    if grid is None:
        square = square_table(rows, count, class_rows)
        if square is None:
            return {'rows': rows, 'grid': None}
        grid = (square[0], square[0])
    image = [side * patch_size for side in grid]
    return {'grid': list(grid), 'image': image, 'class_rows': rows > count(grid)}


def position_as_text(position: Mapping[str, Any]) -> str:
    """One of them on a line."""
    if 'spans' in position:
        return f'{position["kind"]} over {" or ".join(map(str, position["spans"]))} patches an axis'
    if 'grid' not in position:
        return position['kind']
    if position['grid'] is None:
        return f'{position["kind"]} of {position["rows"]} rows, no square: give the grid as pos_grid=(rows, columns)'
    (rows, columns), (height, width) = position['grid'], position['image']
    token = ', and the class token' if position['class_rows'] else ''
    return f'{position["kind"]} of {rows} x {columns} patches{token} ({height} x {width} pixels)'
