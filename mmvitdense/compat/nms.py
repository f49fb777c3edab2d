"""Non-maximum suppression: the functions of `mmcv._ext` behind `mmcv.ops.nms`, `soft_nms` and `nms_match`.

Boxes are (x1, y1, x2, y2). `offset` is added to widths and heights: 1 for inclusive pixel coordinates, else 0.
Thresholds are rounded to float32, as mmcv takes them: an IoU of 0.3 in float32 is not above 0.3.

Of equal scores the box that comes first wins in `nms` and `nms_match`, by a stable sort. A compiled mmcv leaves that to
`torch.sort`, which is not stable: on a CPU with AVX2 or AVX-512 and on a GPU it keeps other boxes of equal scores, and
which ones changes with the machine, the version of torch and the number of boxes.
"""

import numpy as np
import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from mmvitdense import ops
from mmvitdense.ops.suppression import overlaps

from .precision import widen


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices (int64) of the kept boxes of `boxes` (N, 4), best score first."""
    if boxes.numel() == 0:
        return boxes.new_empty(0, dtype=torch.int64)
    boxes, scores = widen(boxes, scores)
    if offset:
        boxes = torch.cat((boxes[:, :2], boxes[:, 2:] + offset), dim=1)
    return torch.ops.torchvision.nms(boxes, scores, float(np.float32(iou_threshold)))


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """See `mmvitdense.ops.soft_nms`, whose numbers of methods are mmcv's.

    Fills the first K rows of `dets` (N, 5) with box and lowered score in the order of picking; returns the K indices.
    """
    rows, column = widen(boxes.cpu(), scores.cpu())
    indices, lowered = ops.soft_nms(rows, column, iou_threshold, sigma, min_score, method, offset)
    kept = dets[: len(indices)]
    kept[:, :4] = rows[indices].to(dets)
    kept[:, 4] = lowered.to(dets)
    return indices.to(boxes.device)


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Groups of indices into `dets` (N, 5): each kept box, then the boxes it suppressed, in score order."""
    array = widen(dets.cpu())[0].numpy()
    left = np.argsort(-array[:, 4], kind='stable')
    groups = []
    while len(left):
        best, left = int(left[0]), left[1:]
        suppressed = overlaps(array[best, :4], array[left, :4], offset=0) >= np.float32(iou_threshold)
        groups.append([best, *left[suppressed].tolist()])
        left = left[~suppressed]
    return groups
