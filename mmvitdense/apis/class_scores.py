"""What a segmentation test found for each class, which mmseg's metric prints as a table and returns as a mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.evaluator import Evaluator


@contextmanager
def class_scores(evaluator: Evaluator) -> Iterator[dict[str, float]]:
    """Collect the scores of each class while a test runs.

    Args:
        evaluator: Its metrics that compute scores of classes as mmseg's `IoUMetric` does are listened to.

    Yields:
        {name: percent}, filled when the metrics have been computed, in the main process: `IoU.<class>`,
        `Acc.<class>` and the like, after the prefix of the metric if it has one; NaN for a class that occurs neither
        in the labels nor in the predictions.
    """
    scores: dict[str, float] = {}
    metrics = [metric for metric in evaluator.metrics if hasattr(metric, 'total_area_to_metrics')]
    for metric in metrics:
        metric.total_area_to_metrics = _listening(metric, scores)
    try:
        yield scores
    finally:
        for metric in metrics:
            del metric.total_area_to_metrics


def _listening(metric: Any, scores: dict[str, float]) -> Callable[..., dict]:
    compute = metric.total_area_to_metrics
    prefix = f'{metric.prefix}/' if metric.prefix else ''

    def compute_and_note(*args: Any, **kwargs: Any) -> dict:
        found = compute(*args, **kwargs)
        classes = metric.dataset_meta['classes']
        for name, values in found.items():
            if getattr(values, 'shape', None) == (len(classes),):
                for label, value in zip(classes, values, strict=True):
                    scores[f'{prefix}{name}.{label}'] = round(100 * float(value), 6)
        return found

    return compute_and_note
