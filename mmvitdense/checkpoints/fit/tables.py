"""Resizing the tables of positions of a checkpoint to a `PlainViT`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.checkpoints.formats.parts.sines import sines_of
from mmvitdense.layers import SinCosPositions, resize_bias_table, resize_position_table
from mmvitdense.layers.positions.table_rows import CLASS_OFFSETS, CLASS_POSITIONS, num_offsets, num_positions

from .grids import grid_of_table
from .options import FitOptions

_SHARED = 'rel_pos_bias.relative_position_bias_table'
_BIASES = re.compile(r'^(blocks\.\d+\.attn|rel_pos_bias|window_rel_pos_bias\.\d+)\.relative_position_bias_table$')


def fit_tables(weights: dict[str, Tensor], model: nn.Module, how: FitOptions) -> list[str]:
    """Resize the tables in place.

    Args:
        weights: Names of `PlainViT`; tables are replaced, and the class token gets its position where the model has
            no row for it.
        model: The `PlainViT`.
        how: See `FitOptions`.

    Returns:
        Lines such as 'pos_embed 14x14 -> 64x64'.

    Raises:
        CheckpointError: The grid of a table is not known, see `grid_of_table`.
    """
    expected = model.state_dict()
    tables = [name for name in weights if name == 'pos_embed' or _BIASES.match(name)]
    if how.pos_grid is not None and not tables:
        raise CheckpointError('pos_grid is given, but the file has no table of positions: leave it out')
    lines = []
    if 'pos_embed' in weights and model.sincos is not None:
        lines += _drop_computed(weights, model.sincos)
    if 'pos_embed' in weights and model.pos_embed is not None:
        lines += _fit_positions(weights, model, how)
    lines += _fit_decomposed(weights, expected)
    return lines + _fit_biases(weights, expected, model, how)


def widened(tensor: Tensor, *others: Tensor) -> Tensor:
    """The tensor in float32, or wider where it or one of the others is."""
    wide = [t.dtype for t in (tensor, *others) if t.dtype == torch.float64]
    return tensor.to(wide[0] if wide else torch.float32)


def _drop_computed(weights: dict[str, Tensor], sincos: SinCosPositions) -> list[str]:
    """Take out a table that holds what the model computes, or has no values; any other stays, and has no place."""
    table = weights['pos_embed']
    if not table.is_meta and sines_of(table) != sincos.kind:
        return []
    del weights['pos_embed']
    return [f'pos_embed -> computed at each grid ({sincos.kind}), equal at that of the file']


def _fit_positions(weights: dict[str, Tensor], model: nn.Module, how: FitOptions) -> list[str]:
    table, lines = weights['pos_embed'], []
    grid, slot = grid_of_table('pos_embed', table.shape[1], num_positions, CLASS_POSITIONS, model.pos_grid, how)
    if grid == model.pos_grid and slot == model.pos_embed_cls_slot:
        return []
    cls_row, patches = table[:, :slot], table[:, int(slot) :]
    if grid != model.pos_grid:
        lines.append(f'pos_embed {_by(grid)} -> {_by(model.pos_grid)}')
        patches = widened(patches, model.pos_embed)
        patches = resize_position_table(patches, grid, model.pos_grid, **model.pos_resize)
    if model.pos_embed_cls_slot:
        cls_row = cls_row if slot else torch.zeros_like(patches[:, :1])
        patches = torch.cat([cls_row.to(patches.dtype), patches], dim=1)
    elif slot and model.cls_token is not None and 'cls_token' in weights:
        weights['cls_token'] = widened(weights['cls_token'], cls_row) + widened(cls_row, weights['cls_token'])
    weights['pos_embed'] = patches
    return lines


def _fit_decomposed(weights: dict[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    lines = []
    for name, table in list(weights.items()):
        if name in expected and name.endswith(('rel_pos_h', 'rel_pos_w')) and len(table) != len(expected[name]):
            wide = widened(table, expected[name])
            weights[name] = F.interpolate(wide.T[None], size=len(expected[name]), mode='linear')[0].T
            lines.append(f'{name} {len(table)} -> {len(expected[name])}')
    return lines


def _fit_biases(
    weights: dict[str, Tensor], expected: Mapping[str, Tensor], model: nn.Module, how: FitOptions
) -> list[str]:
    wanted = [name for name in expected if _BIASES.match(name)]
    absent = [name for name in wanted if name not in weights]
    shared = _SHARED in weights and bool(absent)
    if shared:
        table = weights[_SHARED] if _SHARED in wanted else weights.pop(_SHARED)
        weights.update((name, table) for name in absent)
    lines = []
    for name in wanted:
        if name not in weights:
            continue
        grid = _grid_in(model, name)
        source = _SHARED if shared and name in absent else name
        old, with_cls = grid_of_table(source, len(weights[name]), num_offsets, CLASS_OFFSETS, grid, how)
        table = weights[name]
        offsets, cls_rows = table[: num_offsets(old)], table[num_offsets(old) :]
        if old != grid:
            offsets = resize_bias_table(widened(offsets, expected[name]), old, grid)
            lines.append(f'{name} {_by(old)} -> {_by(grid)}')
        if with_cls and len(expected[name]) != num_offsets(grid):
            offsets = torch.cat([offsets, cls_rows.to(offsets.dtype)])
        weights[name] = table if old == grid and len(offsets) == len(table) else offsets
    return lines


def _grid_in(model: nn.Module, name: str) -> tuple[int, int]:
    owner, _, table = name.rpartition('.')
    return model.get_submodule(owner).table_grids()[table]


def _by(grid: tuple[int, int]) -> str:
    return f'{grid[0]}x{grid[1]}'
