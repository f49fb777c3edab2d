"""Stored tables of positions that are sines and cosines of the row and the column."""

from __future__ import annotations

import torch
from torch import Tensor

from mmvitdense.layers.positions import sincos_position_table
from mmvitdense.layers.positions.table_rows import square_table

_ERROR = 1e-3


def sines_of(table: Tensor) -> str | None:
    """By which rule a table was filled.

    Args:
        table: 1 x rows x C, of a square grid, with or without a row of the class token, which is zero then.

    Returns:
        'sincos_mae', 'sincos_bv' (see `SinCosPositions`) or 'mocov3', MAE's with rows before columns (`vits.py`);
        None for another table, and for one without values.
    """
    square = square_table(table.shape[1])
    if square is None or table.is_meta or table.shape[2] % 4:
        return None
    side, has_class_row = square
    if has_class_row and table[0, 0].any():
        return None
    stored = table[:, int(has_class_row) :].float()
    for kind, formula, rows_first in _KINDS:
        expected = sincos_position_table((side, side), table.shape[2], formula)
        if rows_first:
            expected = torch.cat(expected.chunk(2, dim=-1)[::-1], dim=-1)
        # 16 bits keep fewer digits.
        if (stored - expected).abs().max() < max(_ERROR, 4 * torch.finfo(table.dtype).eps):
            return kind
    return None


_KINDS = (('sincos_mae', 'sincos_mae', False), ('mocov3', 'sincos_mae', True), ('sincos_bv', 'sincos_bv', False))
