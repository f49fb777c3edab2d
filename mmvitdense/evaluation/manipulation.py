"""How well manipulated pixels are found, image by image (IML-ViT, arXiv 2307.14863)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from mmvitdense.registry import METRICS

_TINY = 1e-8


@METRICS.register_module()
class ManipulationMetric(BaseMetric):
    """F1 of the manipulated pixels at a threshold and the area under the ROC curve, each the mean over images.

    F1 is that of IML-ViT's `utils/evaluation.py`: an image without manipulated pixels has an F1 of 0, so that
    tampered images alone are to be evaluated. The area under the curve exists where an image has pixels of both kinds,
    and needs `model.test_cfg.keep_logits`.

    Args:
        threshold: Pixels with a probability above it count as manipulated. None takes the predicted labels.
        auc: Whether the area under the curve is computed; it sorts the pixels of each image.
        collect_device: As in mmengine.
        prefix: As in mmengine.
    """

    default_prefix = 'manipulation'

    def __init__(
        self,
        threshold: float | None = 0.5,
        auc: bool = True,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        if threshold is not None and not 0 < threshold < 1:
            raise ValueError(f'threshold must be between 0 and 1, or None, got {threshold!r}')
        self.threshold, self.auc = threshold, auc

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Measure the samples of a batch, with `pred_sem_seg`, `seg_logits` (probabilities) and `gt_sem_seg`."""
        for sample in data_samples:
            truth = sample['gt_sem_seg']['data'].squeeze(0).cpu().numpy() > 0
            scores = sample['seg_logits']['data'].squeeze(0).cpu().numpy() if 'seg_logits' in sample else None
            if scores is None and (self.auc or self.threshold is not None):
                raise ValueError(
                    'ManipulationMetric needs the probabilities of pixels: set model.test_cfg.keep_logits=True, or '
                    'threshold=None and auc=False'
                )
            labels = sample['pred_sem_seg']['data'].squeeze(0).cpu().numpy() > 0
            found = labels if self.threshold is None else scores > self.threshold
            self.results.append((f1(found, truth), area_under_curve(scores, truth) if self.auc else None))

    def compute_metrics(self, results: list[tuple[float, float | None]]) -> dict[str, float]:
        """Mean over the images: 'F1' and, where asked for, 'AUC', in percent."""
        metrics = {'F1': 100 * float(np.mean([score for score, _ in results]))}
        areas = [area for _, area in results if area is not None]
        if self.auc:
            metrics['AUC'] = 100 * float(np.mean(areas)) if areas else float('nan')
        return metrics


def f1(found: np.ndarray, truth: np.ndarray) -> float:
    """F1 of two boolean arrays of one shape."""
    hits = np.count_nonzero(found & truth)
    precision, recall = hits / (np.count_nonzero(found) + _TINY), hits / (np.count_nonzero(truth) + _TINY)
    return 2 * precision * recall / (precision + recall + _TINY)


def area_under_curve(scores: np.ndarray, truth: np.ndarray) -> float | None:
    """How often a manipulated pixel scores above another one, ties counted half; None without pixels of both kinds."""
    positives = np.count_nonzero(truth)
    negatives = truth.size - positives
    if not positives or not negatives:
        return None
    _, places, counts = np.unique(scores.ravel(), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[places]
    return float((ranks[truth.ravel()].sum() - positives * (positives + 1) / 2) / (positives * negatives))
