"""Predictions of a segmentation test as a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import DumpResults

_LARGE = ('seg_logits', 'gt_sem_seg')


class DumpLabelMaps(DumpResults):
    """mmengine's `DumpResults` without logits and labels: 150 classes at full size are 200 MB an image."""

    def process(self, data_batch: Any, predictions: Sequence[dict]) -> None:
        """Keep the label map and the meta data of each image."""
        small = [{key: value for key, value in sample.items() if key not in _LARGE} for sample in predictions]
        super().process(data_batch, small)
