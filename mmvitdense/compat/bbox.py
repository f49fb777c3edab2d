"""The function of `mmcv._ext` behind `mmcv.ops.bbox_overlaps`."""

import torch
from torch import Tensor

from .precision import widen

_IOU = 0


def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int) -> None:
    """Fill `ious` with intersection over union (mode 0) or over the area of the first box (mode 1).

    Boxes are (x1, y1, x2, y2), widths x2 - x1 + offset; `ious` is (N, M), or (N,) when aligned.
    """
    first, second = widen(bboxes1, bboxes2)
    if not aligned:
        first = first[:, None]
    overlap = _area(
        torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:]), offset
    )
    base = _area(first[..., :2], first[..., 2:], offset, clamp=False)
    if mode == _IOU:
        base = base + _area(second[..., :2], second[..., 2:], offset, clamp=False) - overlap
    ious.copy_(overlap / base.clamp(min=offset))


def _area(low: Tensor, high: Tensor, offset: int, clamp: bool = True) -> Tensor:
    sides = high - low + offset
    return (sides.clamp(min=0) if clamp else sides).prod(dim=-1)
