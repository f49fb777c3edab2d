"""The grids (rows, columns) of tables of positions, which their length alone does not determine."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping

from torch import Tensor

from mmvitdense.checkpoints.files.reading import CheckpointError
from mmvitdense.checkpoints.formats.contract import Format
from mmvitdense.layers import RECORD
from mmvitdense.layers.positions.table_rows import (
    CLASS_OFFSETS,
    CLASS_POSITIONS,
    num_offsets,
    num_positions,
    square_table,
)

from .options import FitOptions, Grid

# What precedes the backbone in a checkpoint of a detector or of a wrapper.
_OUTER = re.compile(r'^(?:.*\.)?backbone(?:\.|$)|^(?:module|model)(?:\.|$)')


def recorded_grids(state_dict: Mapping[str, Tensor], form: Format) -> dict[str, Grid]:
    """The grids that a checkpoint records.

    Models of this project record them (`layers.RecordsPositions`), SAM keeps its table as a map, and a format may
    know (`pos_grid(state_dict)`, of the tables of the whole image).

    Args:
        state_dict: The checkpoint as read, not converted.
        form: Its format.

    Returns:
        {name in the converted backbone: (rows, columns)}.
    """
    grids = {}
    maps = [x for name, x in state_dict.items() if x.ndim == 4 and name.rpartition('.')[2] == 'pos_embed']
    if maps:
        grids['pos_embed'] = tuple(maps[0].shape[1:3])
    if form.pos_grid is not None:
        grids['pos_embed'] = grids['rel_pos_bias.relative_position_bias_table'] = form.pos_grid(state_dict)
    return {**grids, **grids_of_record(state_dict)}


def grids_of_record(state_dict: Mapping[str, Tensor]) -> dict[str, Grid]:
    """{name in the backbone: (rows, columns)} that models of this project recorded in a state dict."""
    grids = {}
    for prefix, record in _records(state_dict).items():
        grids.update({f'{prefix}{name}': tuple(grid) for name, grid in record['grids'].items()})
    return grids


def has_record(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a model of this project wrote the state dict."""
    return bool(_records(state_dict))


def recorded_rope(state_dict: Mapping[str, Tensor], otherwise: str | None) -> str | None:
    """Kind of rotary positions that a model of this project recorded; `otherwise` where none did."""
    kinds = {record['rope'] for record in _records(state_dict).values() if 'rope' in record}
    return kinds.pop() if len(kinds) == 1 else otherwise


def grids_given(weights: Mapping[str, Tensor], grid: Grid) -> dict[str, Grid]:
    """{name: grid} of the tables of converted weights that have the grid that the user gives."""
    given = {}
    for name, tensor in weights.items():
        if name == 'pos_embed' and tensor.shape[1] - num_positions(grid) in (0, CLASS_POSITIONS):
            given[name] = grid
        if name.endswith('relative_position_bias_table') and len(tensor) - num_offsets(grid) in (0, CLASS_OFFSETS):
            given[name] = grid
    return given


def with_record(
    weights: Mapping[str, Tensor], grids: Mapping[str, Grid], owner: str = '', rope: str | None = ''
) -> OrderedDict:
    """The weights with a record of their grids, to be saved.

    Args:
        weights: Converted weights.
        grids: {name in the backbone: (rows, columns)}.
        owner: 'backbone' where the weights are of a whole model.
        rope: The kind of rotary positions that the file records, '' for no record.
    """
    weights = OrderedDict(weights)
    weights._metadata = OrderedDict()
    for name, grid in grids.items():
        module, _, table = name.rpartition('.')
        path = '.'.join(part for part in (owner, module) if part)
        weights._metadata.setdefault(path, {RECORD: {'grids': {}}})[RECORD]['grids'][table] = grid
    if rope != '':
        weights._metadata.setdefault(owner, {RECORD: {'grids': {}}})[RECORD]['rope'] = rope
    if not weights._metadata:  # says that the names are ours, whatever else is in the file
        weights._metadata[owner] = {RECORD: {'grids': {}}}
    return weights


def _records(state_dict: Mapping[str, Tensor]) -> dict[str, dict]:
    """{what precedes its names in the backbone: record of a module}."""
    metadata = getattr(state_dict, '_metadata', None) or {}
    owners = {_OUTER.sub('', owner): values[RECORD] for owner, values in metadata.items() if RECORD in values}
    return {f'{owner}.' if owner else '': record for owner, record in owners.items()}


def grid_of_table(
    name: str, rows: int, count: Callable[[Grid], int], extra: int, own: Grid, how: FitOptions
) -> tuple[Grid, bool]:
    """Find the grid of a table of the file.

    What the file records counts, then what the user gives; else published tables are square.

    Args:
        name: Of the table.
        rows: How many it has.
        count: Rows for a grid, `num_positions` or `num_offsets`.
        extra: Rows of the class token, if there are such.
        own: Grid of the model.
        how: See `FitOptions`.

    Returns:
        The grid, and whether the table has the rows of the class token.

    Raises:
        CheckpointError: The grid is not known and the table no square, or may be the square or that of the model; or
            what is given is not the grid of so many rows.
    """

    def reading(grid: Grid) -> tuple[Grid, bool] | None:
        return next(((grid, with_cls) for with_cls in (False, True) if count(grid) + extra * with_cls == rows), None)

    known = how.recorded.get(name)
    if known is not None and how.pos_grid not in (None, known) and name.endswith('pos_embed'):
        raise CheckpointError(
            f'pos_grid is {_by(how.pos_grid)}, the file records {_by(known)} for {name}: leave pos_grid out'
        )
    if known is None and how.pos_grid is not None and (name.endswith('pos_embed') or reading(how.pos_grid)):
        known = how.pos_grid
    if known is not None:
        if (found := reading(known)) is None:
            raise CheckpointError(
                f'{name} has {rows} rows, a grid of {_by(known)} has {count(known)}, or {count(known) + extra} with '
                'the class token: give the pos_grid=(rows, columns) that it has'
            )
        return found
    found = square_table(rows, count, extra)
    square = None if found is None else ((found[0], found[0]), found[1])
    mine = reading(own)
    # A class token most often has a row: n x (n + 2) patches with one are as many as (n + 1) x (n + 1) without.
    unsure = how.oblong or (mine is not None and square is not None and mine[1] and not square[1])
    if square is None or (unsure and mine is not None and mine != square):
        what = 'no square grid' if square is None else f'{_by(square[0])} or the {_by(own)} of the model'
        raise CheckpointError(
            f'{name} has {rows} rows, which is {what} with or without rows of the class token; the model expects '
            f'{_by(own)}: give the grid of the file as init_cfg=dict(..., pos_grid=(rows, columns))'
        )
    return square


def _by(grid: Grid) -> str:
    return f'{grid[0]} x {grid[1]}'
