"""How far the results of two runs are apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

_SAME_BOX = 0.5
"""Overlap from which on boxes of two runs are the same detection."""


@dataclasses.dataclass
class Detections:
    """Differences of detections, the largest over all images that were added.

    Attributes:
        found: Detections of the first run.
        unmatched: Detections of either run that the other lacks.
        highest_unmatched: The highest score of these.
        box: Largest distance of a side of a box, in pixels.
        score: Largest difference of a score.
        mask_iou: Smallest overlap of two masks of the same detection.
    """

    found: int = 0
    unmatched: int = 0
    highest_unmatched: float = 0.0
    box: float = 0.0
    score: float = 0.0
    mask_iou: float = 1.0

    def add(self, first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
        """Add an image: 'bboxes' N x 4, 'scores', 'labels' and maybe 'masks' N x H x W of two runs."""
        self.found += len(first['scores'])
        pairs = _pairs(first, second)
        for run, place in ((first, 0), (second, 1)):
            alone = torch.ones(len(run['scores']), dtype=torch.bool)
            alone[[pair[place] for pair in pairs]] = False
            self.unmatched += int(alone.sum())
            self.highest_unmatched = max(
                self.highest_unmatched, float(run['scores'][alone].max()) if alone.any() else 0
            )
        if not pairs:
            return
        left, right = (torch.tensor(places) for places in zip(*pairs))
        self.box = max(self.box, float((first['bboxes'][left] - second['bboxes'][right]).abs().max()))
        self.score = max(self.score, float((first['scores'][left] - second['scores'][right]).abs().max()))
        if 'masks' in first:
            masks, others = first['masks'][left].bool().flatten(1), second['masks'][right].bool().flatten(1)
            union = (masks | others).sum(1)
            shares = (masks & others).sum(1)[union > 0] / union[union > 0]
            self.mask_iou = min(self.mask_iou, float(shares.min()) if len(shares) else 1.0)


def _pairs(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[tuple[int, int]]:
    """Which detections of two runs are the same: of one class, the best overlap first."""
    if not len(first['scores']) or not len(second['scores']):
        return []
    # Detections that do not move are found whatever stands beside them, by the score where boxes are equal.
    nearness = box_iou(first['bboxes'].double(), second['bboxes'].double())
    nearness = torch.where((first['bboxes'][:, None] == second['bboxes'][None]).all(-1), 1.0, nearness)
    nearness = nearness - (first['scores'][:, None].double() - second['scores'][None]).abs()
    nearness[first['labels'][:, None] != second['labels'][None]] = -1
    pairs, used = [], ([False] * nearness.shape[0], [False] * nearness.shape[1])
    values, places = nearness.flatten().sort(descending=True, stable=True)
    for value, place in zip(values.tolist(), places.tolist()):
        if value < _SAME_BOX:
            break
        left, right = divmod(place, nearness.shape[1])
        if not used[0][left] and not used[1][right]:
            used[0][left] = used[1][right] = True
            pairs.append((left, right))
    return pairs


def relative_error(reference: np.ndarray, found: np.ndarray) -> float:
    """Largest difference, as a share of the largest value of the reference; infinite for another shape or NaN."""
    if reference.shape != found.shape:
        return float('inf')
    if reference.size == 0:
        return 0.0
    reference, found = reference.astype(np.float64), found.astype(np.float64)
    both = np.isfinite(reference) & np.isfinite(found)
    if not (np.array_equal(reference[~both], found[~both], equal_nan=True)):
        return float('inf')
    if not both.any():
        return 0.0
    largest = np.abs(reference[both]).max()
    difference = np.abs(reference[both] - found[both]).max()
    if largest == 0:
        return float('inf') if difference > 0 else 0.0
    return float(difference / largest)


@dataclasses.dataclass
class Labels:
    """Differences of label maps.

    Attributes:
        pixels: Pixels of the first run.
        different: Those with another label in the second.
    """

    pixels: int = 0
    different: int = 0

    def add(self, first: Tensor, second: Tensor) -> None:
        """Add an image: two maps of labels of one shape."""
        self.pixels += first.numel()
        self.different += int((first != second).sum())

    @property
    def share(self) -> float:
        """Share of the pixels that differ."""
        return self.different / max(self.pixels, 1)


def mean_iou(firsts: Sequence[Tensor], seconds: Sequence[Tensor]) -> float:
    """Mean over the classes that occur of the overlap of two runs' label maps."""
    classes = int(max(max(int(part.max()) for part in parts) for parts in (firsts, seconds))) + 1
    both, either = torch.zeros(classes), torch.zeros(classes)
    for first, second in zip(firsts, seconds):
        same = torch.bincount(first[first == second].flatten(), minlength=classes)
        counts = torch.bincount(first.flatten(), minlength=classes) + torch.bincount(
            second.flatten(), minlength=classes
        )
        both, either = both + same, either + counts - same
    return float((both / either)[either > 0].mean())
