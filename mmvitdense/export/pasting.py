"""Masks of regions put into the image, as mmdet's `FCNMaskHead` puts them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_OUTSIDE = -10.0


def paste(masks: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """Probabilities of masks at the pixels of an image, 0 outside of their boxes.

    Args:
        masks: N x m x m.
        boxes: N x 4, x1, y1, x2, y2 in pixels.
        height, width: Of the image.

    Returns:
        N x height x width.
    """
    return _at(masks, boxes, (0, height), (0, width))


def pasted_masks(masks: Tensor, boxes: Tensor, height: int, width: int, threshold: float) -> Tensor:
    """Binary masks, N x height x width; each is computed around its box alone."""
    found = torch.zeros((len(masks), height, width), dtype=torch.bool)
    for index, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        rows = max(int(y1) - 1, 0), min(int(y2) + 2, height)
        columns = max(int(x1) - 1, 0), min(int(x2) + 2, width)
        if rows[0] < rows[1] and columns[0] < columns[1]:
            part = _at(masks[index : index + 1], boxes[index : index + 1], rows, columns)[0]
            found[index, slice(*rows), slice(*columns)] = part >= threshold
    return found


def _at(masks: Tensor, boxes: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)
    y = _places(rows, y1, y2)
    x = _places(columns, x1, x2)
    grid = torch.stack([x[:, None, :].expand(-1, y.shape[1], -1), y[:, :, None].expand(-1, -1, x.shape[1])], dim=-1)
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]


def _places(pixels: tuple[int, int], start: Tensor, stop: Tensor) -> Tensor:
    """Where pixels lie in boxes, from -1 at one end to 1 at the other."""
    places = torch.arange(*pixels, dtype=torch.float32, device=start.device) + 0.5
    places = (places - start) / (stop - start) * 2 - 1
    # A box without extent has its middle everywhere, in mmdet.
    places = torch.where(places.isinf(), 0, torch.where(places.isnan(), _OUTSIDE, places))
    # Further out there is nothing, and runtimes differ on very large coordinates.
    return places.clamp(-3, 3)
