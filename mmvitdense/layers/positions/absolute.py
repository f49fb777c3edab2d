"""Absolute position tables and how they follow the size of the image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
    align_corners: bool = False,
    square: bool = False,
) -> Tensor:
    """Resize a table of patch positions, or repeat it.

    Published models differ in how they do it, by several percent of the size of the features. The defaults are what
    MAE, BEiT and detectron2's `get_abs_pos` do. `antialias=True` is what timm, OpenCLIP and DINOv2 with registers
    do; it smooths where the table shrinks and changes the cubic kernel also where it grows. `by='scale'` is what
    DINO, iBOT and DINOv2 without registers do. `mode='bilinear', antialias=True` is what TIPS does,
    `mode='bilinear'` what Perception Encoder does, with `square=True` what RADIO does, and `by='tile'` what SAM 3
    does. Computed in float32 or wider whatever the storage type and autocast, because 16 bits lose the differences
    between neighbouring positions.

    Args:
        table: 1 x source_h*source_w x C, without rows for class or register tokens.
        source: Grid of the table, (rows, columns).
        target: Grid wanted, (rows, columns).
        by: 'size' samples at the ratio of the grids, 'scale' at the factor (target + offset) / source. The size is
            that of `target` for both. 'tile' repeats the table and resizes nothing.
        offset: See `by`.
        antialias: Whether to smooth.
        mode: 'bicubic' or 'bilinear'; bilinearly by 'size' alone.
        align_corners: Whether the first and last positions of both grids coincide; by 'size' alone.
        square: Whether an oblong target is the upper left of a square of its longer side; by 'size' alone.

    Returns:
        1 x target_h*target_w x C in the type of `table`; `table` itself where the grids are equal.
    """
    check_resizing(by, antialias, mode, align_corners, square)
    if table.shape[1] != source[0] * source[1]:
        raise ValueError(
            f'the position table has {table.shape[1]} rows, which is not the {source[0]} x {source[1]} grid given for '
            'it: remove the rows of class and register tokens first, or give the grid it was trained at'
        )
    if tuple(source) == tuple(target):
        return table
    image = table if table.dtype == torch.float64 else table.float()
    image = image.reshape(1, source[0], source[1], -1).permute(0, 3, 1, 2)
    if by == 'tile':
        repeats = [-(-int(new) // old) for new, old in zip(target, source)]
        image = image.tile(1, 1, *repeats)[..., : target[0], : target[1]]
    else:
        if by == 'size':
            size = (max(target), max(target)) if square else tuple(target)
            resize = partial(F.interpolate, size=size, mode=mode, align_corners=align_corners, antialias=antialias)
        else:
            # What F.interpolate calls with a factor, but with the size given: rounding the size down from the factor,
            # as it does, is one short at some sizes (14 -> 61 without offset).
            operator = torch.ops.aten._upsample_bicubic2d_aa if antialias else torch.ops.aten.upsample_bicubic2d
            factors = ((new + offset) / old for new, old in zip(target, source))
            resize = partial(_resized_to, operator, list(target), *factors)
        # On a GPU torch adds up the gradient by atomic additions alone.
        if image.is_cuda and image.requires_grad and torch.are_deterministic_algorithms_enabled():
            resize = partial(_by_products, resize)
        image = resize(image)[..., : target[0], : target[1]]
    return image.flatten(2).transpose(1, 2).to(table.dtype)


def _resized_to(operator: Callable, size: list[int], factor_h: float, factor_w: float, image: Tensor) -> Tensor:
    return operator(image, size, False, factor_h, factor_w)


def _by_products(resize: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """What `resize`, which is linear and separable, makes of an image, as a product with a matrix for each axis."""
    height, width = image.shape[2:]
    with torch.no_grad():
        # The weights of the other axis sum to one.
        rows = resize(torch.eye(height).to(image)[None, :, :, None].expand(-1, -1, -1, width))[0, :, :, 0]
        columns = resize(torch.eye(width).to(image)[None, :, None].expand(-1, -1, height, -1))[0, :, 0]
    return rows.T @ image @ columns


def check_resizing(
    by: str = 'size',
    antialias: bool = False,
    mode: str = 'bicubic',
    align_corners: bool = False,
    square: bool = False,
) -> None:
    """Raise ValueError for options of `resize_position_table` that are unknown or exclude each other."""
    if by not in ('size', 'scale', 'tile'):
        raise ValueError(f"a position table is resized by 'size', 'scale' or 'tile', got {by!r}")
    if mode not in ('bicubic', 'bilinear') or (mode == 'bilinear' and by != 'size'):
        raise ValueError(
            f"a position table is resized with mode 'bicubic', or by 'size' 'bilinear', got {mode!r} by {by!r}"
        )
    if by != 'size' and (align_corners or square):
        raise ValueError(f"align_corners and square are of by='size' alone, got by={by!r}: leave them out")
    if by == 'tile' and antialias:
        raise ValueError("antialias is of a table that is resized, not of one that is repeated, got by='tile'")
