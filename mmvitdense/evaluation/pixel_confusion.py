"""Which class the pixels of each class are taken for, and how well each image was done."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from mmvitdense.registry import METRICS

_INSTANCE_OFFSET = 1000


@dataclass(order=True)
class KeptMap:
    """An image that was done badly.

    Attributes:
        score: Mean IoU of the classes of the image, less than zero; the worst of a heap is its largest.
        place: In the test set.
        path: Of the image.
        predicted: H x W, class indices, or class + 1000 x instance of a panoptic prediction.
        true: H x W, class indices.
        panoptic: Whether the prediction is panoptic.
    """

    score: float
    place: int
    path: str
    predicted: np.ndarray
    true: np.ndarray
    panoptic: bool


@METRICS.register_module()
class PixelConfusion(BaseMetric):
    """Counts pixels by the class they are of and the class they are taken for; of one process.

    It has no result of its own: `counts` and `worst` are there after the evaluation.

    Args:
        keep: How many of the worst images to keep.
        prefix: As in mmengine.

    Attributes:
        counts: K x (K + 1) pixels of each class (rows) taken for each class; the last column is for no class.
        worst: The images that were done worst, the worst first.
    """

    default_prefix = 'pixels'

    def __init__(self, keep: int = 12, prefix: str | None = None):
        super().__init__(prefix=prefix)
        self.keep = keep
        self.counts: np.ndarray | None = None
        self._heap: list[KeptMap] = []
        self._seen = 0

    @property
    def worst(self) -> list[KeptMap]:
        """The images that were done worst, the worst first."""
        return sorted(self._heap, reverse=True)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch: `pred_sem_seg` or `pred_panoptic_seg`, and `gt_sem_seg`."""
        classes = len(self.dataset_meta['classes'])
        if self.counts is None:
            self.counts = np.zeros((classes, classes + 1), np.int64)
        for sample in data_samples:
            place, self._seen = self._seen, self._seen + 1
            panoptic = 'pred_panoptic_seg' in sample
            if sample.get('gt_sem_seg') is None:
                continue
            predicted = _pixels(sample['pred_panoptic_seg' if panoptic else 'pred_sem_seg'])
            true = _pixels(sample['gt_sem_seg'])
            counts = count_pixels(predicted % _INSTANCE_OFFSET if panoptic else predicted, true, classes)
            self.counts += counts
            score = mean_iou(counts)
            self.results.append(score)
            if not np.isnan(score):
                self._consider(KeptMap(-score, place, str(sample.get('img_path', place)), predicted, true, panoptic))

    def _consider(self, kept: KeptMap) -> None:
        if len(self._heap) == self.keep and kept.score <= self._heap[0].score:
            return
        kept.predicted = kept.predicted.astype(np.int32)  # a copy: others may write into the prediction
        kept.true = kept.true.astype(np.int32)
        (heapq.heappush if len(self._heap) < self.keep else heapq.heapreplace)(self._heap, kept)

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        """Nothing: the numbers are those of the other metrics."""
        return {}


def count_pixels(predicted: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """K x (K + 1) pixels by true and predicted class; those whose true class is none of the K are left out."""
    known = (true >= 0) & (true < classes)
    found = predicted[known].astype(np.int64)
    found[(found < 0) | (found >= classes)] = classes
    codes = true[known].astype(np.int64) * (classes + 1) + found
    return np.bincount(codes, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def class_ious(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IoU and accuracy of each class, NaN where it is neither there nor found, or not there."""
    right = np.diagonal(counts).astype(float)
    there, found = counts.sum(1), counts.sum(0)[: len(counts)]
    with np.errstate(invalid='ignore', divide='ignore'):
        return right / (there + found - right), right / there


def mean_iou(counts: np.ndarray) -> float:
    """The mean over classes that are there or found; NaN for an image without labels."""
    ious, _ = class_ious(counts)
    return float(np.nanmean(ious)) if not np.isnan(ious).all() else float('nan')


def _pixels(field: dict[str, Any]) -> np.ndarray:
    """The H x W values of a map, which mmseg calls `data` and mmdet `sem_seg`."""
    values = field.get('data', field.get('sem_seg'))
    return values[0].cpu().numpy() if hasattr(values, 'cpu') else np.asarray(values)[0]
