"""Absolute position tables and how they follow the size of the image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_position_table(
    table: Tensor,
    source: tuple[int, int],
    target: tuple[int, int],
    by: str = 'size',
    offset: float = 0.1,
    antialias: bool = False,
    mode: str = 'bicubic',
) -> Tensor:
    """Resize a table of patch positions, with the corners not aligned.

    Published models differ in how they do it, by several percent of the size of the features. The defaults are what
    MAE, BEiT and detectron2's ``get_abs_pos`` do. ``antialias=True`` is what timm, OpenCLIP and DINOv2 with registers
    do; it smooths where the table shrinks and changes the cubic kernel also where it grows. ``by='scale'`` is what
    DINO, iBOT and DINOv2 without registers do. ``mode='bilinear', antialias=True`` is what TIPS does. Computed in
    float32 or wider whatever the storage type and autocast, because 16 bits lose the differences between neighbouring
    positions.

    Args:
        table: 1 x source_h*source_w x C, without rows for class or register tokens.
        source: Grid of the table, (rows, columns).
        target: Grid wanted, (rows, columns).
        by: 'size' samples at the ratio of the grids, 'scale' at the factor (target + offset) / source. The size is
            that of ``target`` for both.
        offset: See ``by``.
        antialias: Whether to smooth.
        mode: 'bicubic' or 'bilinear'; bilinearly by 'size' alone.

    Returns:
        1 x target_h*target_w x C in the type of ``table``; ``table`` itself where the grids are equal.
    """
    if by not in ('size', 'scale'):
        raise ValueError(f"a position table is resized by 'size' or 'scale', got {by!r}")
    if mode not in ('bicubic', 'bilinear') or (mode, by) == ('bilinear', 'scale'):
        raise ValueError(
            f"a position table is resized with mode 'bicubic', or by 'size' 'bilinear', got {mode!r} by {by!r}"
        )
    if table.shape[1] != source[0] * source[1]:
        raise ValueError(
            f'the position table has {table.shape[1]} rows, which is not the {source[0]} x {source[1]} grid given for '
            'it: remove the rows of class and register tokens first, or give the grid it was trained at'
        )
    if tuple(source) == tuple(target):
        return table
    image = table if table.dtype == torch.float64 else table.float()
    image = image.reshape(1, source[0], source[1], -1).permute(0, 3, 1, 2)
    if by == 'size':
        image = F.interpolate(image, size=tuple(target), mode=mode, align_corners=False, antialias=antialias)
    else:
        # What F.interpolate calls with a factor, but with the size given: rounding the size down from the factor, as it
        # does, is one short at some sizes (14 -> 61 without offset).
        resize = torch.ops.aten._upsample_bicubic2d_aa if antialias else torch.ops.aten.upsample_bicubic2d
        image = resize(image, list(target), False, *((new + offset) / old for new, old in zip(target, source)))
    return image.flatten(2).transpose(1, 2).to(table.dtype)
