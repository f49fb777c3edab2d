"""Masks of regions put into the image, as mmdet's ``FCNMaskHead`` puts them."""

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
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)
    rows = (torch.arange(height, dtype=torch.float32, device=boxes.device) + 0.5 - y1) / (y2 - y1) * 2 - 1
    columns = (torch.arange(width, dtype=torch.float32, device=boxes.device) + 0.5 - x1) / (x2 - x1) * 2 - 1
    # A box without extent has its middle everywhere, in mmdet.
    rows, columns = (torch.where(side.isinf(), 0, torch.where(side.isnan(), _OUTSIDE, side)) for side in (rows, columns))
    # Further out there is nothing, and runtimes differ on very large coordinates.
    rows, columns = rows.clamp(-3, 3), columns.clamp(-3, 3)
    grid = torch.stack(
        [columns[:, None, :].expand(-1, height, -1), rows[:, :, None].expand(-1, -1, width)], dim=-1
    )
    return F.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]
