"""Soft non-maximum suppression (Bodla et al. 2017): a kernel for the CPU, or NumPy where none can be compiled.

Picking is a chain: which box is next depends on the scores that the last one has lowered. Of equal scores the one is
picked that comes first, where the gap of a box that was picked or fell below the minimum is filled by the first or
the last that is left. That is mmcv's order, with which results agree box by box.
"""

import numpy as np
import torch
from torch import Tensor

from . import backends
from .schemas import OPS

NAIVE, LINEAR, GAUSSIAN = range(3)


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    min_score: float = 1e-3,
    method: int = LINEAR,
    offset: int = 0,
) -> tuple[Tensor, Tensor]:
    """Pick the box of the highest score, lower the scores of those that overlap it, and repeat.

    Scores are multiplied by exp(-iou ** 2 / sigma) (`GAUSSIAN`), or where the IoU is at least `iou_threshold` by
    1 - iou (`LINEAR`) or 0 (`NAIVE`). A box whose score falls below `min_score` is dropped. Two empty boxes have an
    IoU of 0. Everything is computed in the type of the boxes.

    Args:
        boxes: N x 4, (x1, y1, x2, y2), float32 or float64, on a CPU.
        scores: N, of the same type.
        iou_threshold: See above.
        sigma: See above.
        min_score: See above.
        method: `NAIVE`, `LINEAR` or `GAUSSIAN`.
        offset: Added to widths and heights: 1 for inclusive pixel coordinates, else 0.

    Returns:
        The indices (int64) of the K picked boxes in the order of picking, and their lowered scores.

    Raises:
        ValueError: shapes, types, devices or the method are not as above.
    """
    if boxes.shape != (len(scores), 4) or scores.dim() != 1:
        shapes = f'boxes has shape {tuple(boxes.shape)} and scores {tuple(scores.shape)}'
        raise ValueError(f'{shapes}; expected (N, 4) and (N,)')
    if boxes.device.type != 'cpu' or scores.device.type != 'cpu':
        raise ValueError(f'boxes are on {boxes.device} and scores on {scores.device}; expected cpu for both')
    if boxes.dtype != scores.dtype or boxes.dtype not in (torch.float32, torch.float64):
        raise ValueError(f'boxes are {boxes.dtype} and scores {scores.dtype}; expected float32 or float64 for both')
    if method not in (NAIVE, LINEAR, GAUSSIAN):
        raise ValueError(f'method is {method!r}; expected {NAIVE} (naive), {LINEAR} (linear) or {GAUSSIAN} (gaussian)')
    options = (iou_threshold, sigma, min_score, method, offset)
    if backends.use_compiled(boxes.device):
        return OPS.soft_nms.default(boxes, scores, *options)
    return tuple(map(torch.from_numpy, _by_numpy(boxes.numpy(), scores.numpy(), *options)))


def overlaps(box: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    """IoU of one box (4,) with others (N, 4), in their type; 0 where both are empty."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    both = np.clip(high - low + offset, 0, None).prod(axis=1)
    either = (box[2:] - box[:2] + offset).prod() + (others[:, 2:] - others[:, :2] + offset).prod(axis=1) - both
    return np.divide(both, either, out=np.zeros_like(both), where=either != 0)


def _by_numpy(
    boxes: np.ndarray,
    scores: np.ndarray,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> tuple[np.ndarray, np.ndarray]:
    iou_threshold, sigma, min_score = np.array((iou_threshold, sigma, min_score), boxes.dtype)
    order, scores = np.arange(len(boxes)), scores.copy()
    picked = 0
    while picked < len(order):
        left = scores[order[picked:]]
        best = picked + (0 if np.isnan(left[0]) else int(np.nanargmax(left)))
        order[[picked, best]] = order[[best, picked]]
        left = order[picked + 1 :]
        scores[left] *= _weights(overlaps(boxes[order[picked]], boxes[left], offset), iou_threshold, sigma, method)
        stays = ~(scores[left] < min_score)
        count = int(stays.sum())
        # The last that stay fill the gaps of those that do not.
        left[:count][~stays[:count]] = left[count:][stays[count:]][::-1]
        picked += 1
        order = order[: picked + count]
    return order.astype(np.int64), scores[order]


def _weights(overlap: np.ndarray, iou_threshold: np.floating, sigma: np.floating, method: int) -> np.ndarray:
    if method == GAUSSIAN:
        return np.exp(-(overlap**2) / sigma)
    lowered = np.zeros_like(overlap) if method == NAIVE else 1 - overlap
    return np.where(overlap >= iou_threshold, lowered, overlap.dtype.type(1))
