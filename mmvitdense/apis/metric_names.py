"""Names of results that metrics read no earlier than at the end of a first evaluation."""

from __future__ import annotations

import sys
from typing import Any

from .build_errors import nearest
from .errors import InputError

_OF_SEGMENTATION = ('mIoU', 'mDice', 'mFscore')
"""What mmseg's ``IoUMetric`` computes (``mmseg/evaluation/metrics/iou_metric.py:total_area_to_metrics``)."""


def check_metrics(evaluator: Any, key: str) -> None:
    """Check the ``iou_metrics`` of mmseg's ``IoUMetric``.

    Args:
        evaluator: What was built of the metrics.
        key: Where their settings stand in the config.

    Raises:
        InputError: One is not known.
    """
    mmseg = sys.modules.get('mmseg.evaluation')
    for metric in getattr(evaluator, 'metrics', ()):
        if mmseg is None or not isinstance(metric, mmseg.IoUMetric):
            continue
        for name in metric.metrics:
            if name not in _OF_SEGMENTATION:
                expected = f'expected some of {", ".join(_OF_SEGMENTATION)}'
                raise InputError(
                    f'{key}.iou_metrics: {name!r} is not known, {expected}{nearest(name, _OF_SEGMENTATION)}'
                )
