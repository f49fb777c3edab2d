"""Non-maximum suppression: the functions of `mmcv._ext` behind `mmcv.ops.nms`, `soft_nms` and `nms_match`.

Boxes are (x1, y1, x2, y2). `offset` is added to widths and heights: 1 for inclusive pixel coordinates, else 0.
"""

import numpy as np
import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from .precision import widen

_NAIVE, _LINEAR, _GAUSSIAN = range(3)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices (int64) of the kept boxes of `boxes` (N, 4), best score first."""
    if boxes.numel() == 0:
        return boxes.new_empty(0, dtype=torch.int64)
    boxes, scores = widen(boxes, scores)
    if offset:
        boxes = torch.cat((boxes[:, :2], boxes[:, 2:] + offset), dim=1)
    return torch.ops.torchvision.nms(boxes, scores, iou_threshold)


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
    """Soft-NMS (Bodla et al. 2017): picks the best box, lowers the scores of its neighbours, repeats.

    Fills the first K rows of `dets` (N, 5) with box and lowered score in the order of picking; returns the K indices.
    """
    box_array = boxes.double().cpu().numpy()
    score_array = scores.double().cpu().numpy().copy()
    left = np.arange(len(box_array))
    picked, picked_scores = [], []
    while len(left):
        at = int(np.argmax(score_array[left]))
        best, left = int(left[at]), np.delete(left, at)
        picked.append(best)
        picked_scores.append(score_array[best])
        overlap = _iou(box_array[best], box_array[left], offset)
        score_array[left] *= _soft_weight(overlap, iou_threshold, sigma, method)
        left = left[score_array[left] >= min_score]
    indices = torch.tensor(picked, dtype=torch.int64, device=boxes.device)
    kept = dets[: len(picked)]
    kept[:, :4] = boxes[indices].to(dets)
    kept[:, 4] = torch.tensor(picked_scores, dtype=torch.float64).to(dets)
    return indices


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Groups of indices into `dets` (N, 5): each kept box, then the boxes it suppressed, in score order."""
    array = dets.double().cpu().numpy()
    left = np.argsort(-array[:, 4], kind='stable')
    groups = []
    while len(left):
        best, left = int(left[0]), left[1:]
        suppressed = _iou(array[best, :4], array[left, :4], offset=0) >= iou_threshold
        groups.append([best, *left[suppressed].tolist()])
        left = left[~suppressed]
    return groups


def _iou(box: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    """IoU of one box (4,) with others (N, 4); 0 where both are empty."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    overlap = np.clip(high - low + offset, 0, None).prod(axis=1)
    union = (box[2:] - box[:2] + offset).prod() + (others[:, 2:] - others[:, :2] + offset).prod(axis=1) - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union != 0)


def _soft_weight(overlap: np.ndarray, iou_threshold: float, sigma: float, method: int) -> np.ndarray:
    if method == _GAUSSIAN:
        return np.exp(-(overlap**2) / sigma)
    lowered = np.zeros_like(overlap) if method == _NAIVE else 1 - overlap
    return np.where(overlap >= iou_threshold, lowered, 1.0)
