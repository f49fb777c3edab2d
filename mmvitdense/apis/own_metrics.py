"""Metrics of this package in the place of those of other libraries that give the same numbers."""

from __future__ import annotations

import copy
import sys
from typing import Any

from mmengine.registry import DefaultScope

_COCO = 'mmvitdense.CocoMetric'


def with_own_metrics(evaluator: Any) -> Any:
    """The settings of an evaluator with mmdet's `CocoMetric` replaced by ours; what was given is not changed.

    Args:
        evaluator: As in a config: a metric, a list of metrics, or an evaluator with `metrics`; what is built already
            is left as it is.
    """
    if isinstance(evaluator, (list, tuple)):
        return [with_own_metrics(one) for one in evaluator]
    if not isinstance(evaluator, dict):
        return evaluator
    replaced = copy.copy(evaluator)
    if isinstance(evaluator.get('metrics'), (list, tuple)):
        replaced['metrics'] = with_own_metrics(evaluator['metrics'])
    elif _is_mmdets(evaluator.get('type')):
        replaced['type'] = _COCO
    return replaced


def _is_mmdets(kind: Any) -> bool:
    if not isinstance(kind, str):
        mmdet = sys.modules.get('mmdet.evaluation')
        return mmdet is not None and kind is mmdet.CocoMetric
    scope = DefaultScope.get_current_instance()
    return kind == 'mmdet.CocoMetric' or (kind == 'CocoMetric' and scope is not None and scope.scope_name == 'mmdet')
