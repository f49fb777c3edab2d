"""Absolute position tables and how they follow the size of the image."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resize_position_table(table: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """Resize a table of patch positions bicubically, as detectron2's ``get_abs_pos`` and MAE do.

    The corners are not aligned and nothing is smoothed (``align_corners=False, antialias=False``). Computed in float32
    whatever the storage type and autocast, because 16 bits lose the differences between neighbouring positions.

    Args:
        table: 1 x source_h*source_w x C, without rows for class or register tokens.
        source: Grid of the table, (rows, columns).
        target: Grid wanted, (rows, columns).

    Returns:
        1 x target_h*target_w x C in the type of ``table``; ``table`` itself where the grids are equal.
    """
    if table.shape[1] != source[0] * source[1]:
        raise ValueError(
            f'the position table has {table.shape[1]} rows, which is not the {source[0]} x {source[1]} grid given for '
            'it: remove the rows of class and register tokens first, or give the grid it was trained at'
        )
    if tuple(source) == tuple(target):
        return table
    image = table.float().reshape(1, source[0], source[1], -1).permute(0, 3, 1, 2)
    image = F.interpolate(image, size=tuple(target), mode='bicubic', align_corners=False)
    return image.flatten(2).transpose(1, 2).to(table.dtype)
