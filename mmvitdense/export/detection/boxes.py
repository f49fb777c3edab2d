"""Boxes in a graph: decoded, clipped, suppressed, with shapes that do not depend on what is seen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor, nn

from ..best import best
from ..errors import ExportError

NOTHING = -1.0
"""Score of a place in a list that holds no box."""


class Boxes(NamedTuple):
    """A list of fixed length, best first; places that hold nothing have the score `NOTHING` and a box of zeros.

    Attributes:
        boxes: K x 4, x1, y1, x2, y2 in pixels.
        scores: K.
        sources: K, which of the candidates each is.
    """

    boxes: Tensor
    scores: Tensor
    sources: Tensor


def decode(coder: Any, priors: Tensor, deltas: Tensor, size: Tensor) -> Tensor:
    """Boxes N x 4 from priors and what a head predicts, clipped to the image of `size` (height, width).

    The coder is one of mmdet; it clips to plain numbers alone, so that is done here.
    """
    boxes = coder.decode(priors, deltas, max_shape=None)
    return clip(boxes, size) if getattr(coder, 'clip_border', True) else boxes


def clip(boxes: Tensor, size: Tensor) -> Tensor:
    """Boxes with all corners in the image."""
    limit = size.flip(0).repeat(2).to(boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), limit)


class Suppression(nn.Module):
    """Non-maximum suppression in groups with the numbers of mmcv's `batched_nms`, for lists of a fixed length.

    Args:
        cfg: `nms` of a test_cfg of mmdet; None keeps all.
        most: How many boxes are kept.

    Raises:
        ExportError: an option that has no operator in ONNX.
    """

    def __init__(self, cfg: dict | None, most: int):
        super().__init__()
        options = dict(cfg or {})
        self.suppresses, self.most = cfg is not None, most
        kind = options.pop('type', 'nms')
        self.class_agnostic = options.pop('class_agnostic', False)
        # mmcv rounds the threshold to float32, and so does ONNX.
        self.threshold = float(np.float32(options.pop('iou_threshold', options.pop('iou_thr', 0.5))))
        options.pop('split_thr', None)  # above so many boxes mmcv goes class by class, with the same result
        given = {name: value for name, value in options.items() if value not in (0, -1, None)}
        if kind != 'nms' or given:
            given = ', '.join(f'{name}={value!r}' for name, value in {'type': kind, **given}.items())
            raise ExportError(
                f"The suppression of the config ({given}) has no operator in ONNX: expected type='nms' with an "
                'iou_threshold alone; change test_cfg by --cfg-options.'
            )

    def forward(self, boxes: Tensor, scores: Tensor, groups: Tensor) -> Boxes:
        """Keep the best that do not overlap others of their group.

        Args:
            boxes: N x 4.
            scores: N, `NOTHING` where there is nothing.
            groups: N whole numbers.
        """
        # How far groups are apart, and so the rounding, is to depend on what counts alone.
        boxes = torch.where(scores[:, None] > NOTHING, boxes, 0)
        # So many more places that there is always enough to choose from.
        boxes = torch.cat([boxes, boxes.new_zeros(self.most, 4)])
        scores = torch.cat([scores, scores.new_full((self.most,), NOTHING)])
        groups = torch.cat([groups, groups.new_zeros(self.most)])
        kept_scores = scores
        if self.suppresses:
            kept = torch.ops.torchvision.nms(self._apart(boxes, groups), scores, self.threshold)
            is_kept = torch.zeros_like(scores).index_fill(0, kept, 1) > 0
            kept_scores = torch.where(is_kept, scores, NOTHING)
        scores, sources = best(kept_scores, self.most)
        boxes = torch.where(scores[:, None] > NOTHING, boxes[sources], 0)
        return Boxes(boxes, scores, sources)

    def _apart(self, boxes: Tensor, groups: Tensor) -> Tensor:
        """Boxes moved so far that those of different groups do not overlap, as mmcv moves them."""
        if self.class_agnostic:
            return boxes
        return boxes + (groups.to(boxes) * (boxes.max() + 1))[:, None]


def without_small(boxes: Tensor, scores: Tensor, smallest: float) -> Tensor:
    """Scores, `NOTHING` for boxes not wider or not higher than `smallest` pixels.

    A negative `smallest` leaves all, as in mmdet.
    """
    if smallest < 0:
        return scores
    large = (boxes[:, 2] - boxes[:, 0] > smallest) & (boxes[:, 3] - boxes[:, 1] > smallest)
    return torch.where(large, scores, NOTHING)


def rescaled(boxes: Tensor, scale: Tensor) -> Tensor:
    """Boxes in pixels of the original image; `scale` (horizontal, vertical) led from it to the input."""
    return boxes * (1 / scale).repeat(2)
