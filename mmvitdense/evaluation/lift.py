"""How close LiFT and NAF come to the map of a larger image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from mmvitdense.registry import METRICS


@METRICS.register_module()
class LiftMetric(BaseMetric):
    """Means over images of the distances that `LiFTPretraining` and `NAFPretraining` predict, for what they train
    ('lift') and for bilinear interpolation.

    A distance is one less the cosine of two features: 0 where they agree.

    Args:
        collect_device: As in mmengine.
        prefix: As in mmengine.
    """

    default_prefix = 'distance'

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None):
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take the samples of a batch, with `lift` and `bilinear`."""
        self.results += [(sample['lift'], sample['bilinear']) for sample in data_samples]

    def compute_metrics(self, results: list[tuple[float, float]]) -> dict[str, float]:
        """The means, 'lift' and 'bilinear'."""
        return {name: sum(values) / len(values) for name, values in zip(('lift', 'bilinear'), zip(*results))}
