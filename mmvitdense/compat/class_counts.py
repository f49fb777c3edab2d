"""mmseg's counts of classes where deterministic algorithms are asked for on a GPU.

`IoUMetric` counts by `torch.histc`, whose sums on a GPU have no deterministic form, though counts are whole numbers: a
run with `randomness.deterministic=True` ends at its first validation. There it counts on the CPU.
"""

import functools
from types import ModuleType
from typing import Any

from .import_hooks import after_import

MODULE = 'mmseg.evaluation.metrics.iou_metric'


def register() -> None:
    after_import(MODULE, _count_on_the_cpu)


def _count_on_the_cpu(module: ModuleType) -> None:
    import torch

    count = module.IoUMetric.intersect_and_union

    @functools.wraps(count)
    def counted(pred_label: torch.Tensor, label: torch.Tensor, *others: Any, **options: Any) -> Any:
        if torch.are_deterministic_algorithms_enabled():
            pred_label, label = pred_label.cpu(), label.cpu()
        return count(pred_label, label, *others, **options)

    module.IoUMetric.intersect_and_union = staticmethod(counted)
