"""Names of results that metrics, and what watches them, read no earlier than at the end of a first evaluation."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from typing import Any

from .build_errors import nearest
from .errors import InputError
from .run_parts import hook_settings

_OF_SEGMENTATION = ('mIoU', 'mDice', 'mFscore')
"""What mmseg's `IoUMetric` computes (`mmseg/evaluation/metrics/iou_metric.py:total_area_to_metrics`)."""
_WITH = {'mIoU': ('mIoU', 'mAcc'), 'mDice': ('mDice', 'mAcc'), 'mFscore': ('mFscore', 'mPrecision', 'mRecall')}
_OF_BOXES = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
_OF_PROPOSALS = ('AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000')
"""What mmdet's `CocoMetric` computes (`mmdet/evaluation/metrics/coco_metric.py:compute_metrics`)."""
_OF_PANOPTIC = tuple(f'{score}{part}' for part in ('', '_th', '_st') for score in ('PQ', 'SQ', 'RQ'))
"""What mmdet's `CocoPanopticMetric` computes (`coco_panoptic_metric.py:parse_pq_results`)."""
_COCO = ('mmdet.CocoMetric', 'mmvitdense.CocoMetric')
"""Metrics with the names of COCO: mmdet's, and ours in its place."""
_WATCHING = ('save_best', 'monitor')
"""Arguments that name results, of hooks that save the best or stop early, and of schedules that wait for a plateau."""


def check_metrics(evaluator: Any, key: str) -> None:
    """Check the `iou_metrics` of mmseg's `IoUMetric`.

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
    mmdet = sys.modules.get('mmdet.evaluation')
    for metric in getattr(evaluator, 'metrics', ()):
        if mmdet is None or not isinstance(metric, mmdet.CocoMetric):
            continue
        known = (*_OF_BOXES, *_OF_PROPOSALS)
        for name in getattr(metric, 'metric_items', None) or ():
            if name not in known:
                expected = f'expected some of {", ".join(known)}'
                raise InputError(f'{key}.metric_items: {name!r} is not known, {expected}{nearest(name, known)}')


def check_watched(cfg: Any, evaluator: Any, key: str) -> None:
    """Check that the evaluator computes what hooks and schedules look at, where its names are known in advance.

    Args:
        cfg: The config.
        evaluator: What was built of the metrics of the validation; None for a run without one.
        key: Where their settings stand in the config.

    Raises:
        InputError: A name is that of no result.
    """
    known = _names(evaluator)
    if known is None:
        return
    for place, name in _watched(cfg):
        if name != 'auto' and name not in known:
            hint = nearest(name, known) or f'; expected one of {", ".join(sorted(known))}.'
            raise InputError(f'{place}: {key} computes no {name!r}{hint}')


def main_result(evaluator: Any) -> tuple[str, float] | None:
    """The result by which one picks the best checkpoint, and what a perfect one is.

    The masks of instances come before boxes, which come with them; of several metrics, the first that is known counts.

    Returns:
        Its name as metrics log it and 1 or 100, or None where no metric is known. Greater is better.
    """
    for metric in getattr(evaluator, 'metrics', None) or ():
        found = None if getattr(metric, 'format_only', False) else _main_of(metric)
        if found is not None:
            name, most = found
            return f'{metric.prefix}/{name}' if metric.prefix else name, most
    return None


def _main_of(metric: Any) -> tuple[str, float] | None:
    kind = _kind(metric)
    if kind == 'mmseg.IoUMetric':
        return metric.metrics[0], 100.0
    if kind == 'mmdet.CocoPanopticMetric':
        return 'PQ', 100.0
    items = {**dict.fromkeys(_COCO, 'mAP'), 'mmdet.LVISMetric': 'AP'}
    scored = [name for name in ('segm', 'bbox') if name in getattr(metric, 'metrics', ())]
    if kind not in items or not scored or items[kind] not in (metric.metric_items or (items[kind],)):
        return None
    return f'{scored[0]}_{items[kind]}', 1.0


def _kind(metric: Any) -> str:
    return f'{type(metric).__module__.partition(".")[0]}.{type(metric).__name__}'


def _watched(cfg: Any) -> Iterator[tuple[str, str]]:
    """(key, name of a result) of all that is looked at."""
    schedules = cfg.get('param_scheduler') or []
    schedules = schedules if isinstance(schedules, (list, tuple)) else [schedules]
    settings = dict(hook_settings(cfg)) | {f'param_scheduler.{n}': each for n, each in enumerate(schedules)}
    for place, part in settings.items():
        for argument in _WATCHING if isinstance(part, dict) else ():
            names = part.get(argument)
            for name in [names] if isinstance(names, str) else names or ():
                yield f'{place}.{argument}', name


def _names(evaluator: Any) -> Collection[str] | None:
    """The names of all results, or None if there is a metric whose names are not known."""
    names: set[str] = set()
    for metric in getattr(evaluator, 'metrics', None) or (None,):
        own = _names_of(metric)
        if own is None:
            return None
        names |= {f'{metric.prefix}/{name}' if metric.prefix else name for name in own}
    return names


def _names_of(metric: Any) -> Collection[str] | None:
    if getattr(metric, 'format_only', False):
        return None
    kind = _kind(metric)
    if kind == 'mmseg.IoUMetric':
        return {'aAcc', *(name for each in metric.metrics for name in _WITH.get(each, ()))}
    if kind == 'mmdet.CocoPanopticMetric':
        return _OF_PANOPTIC
    if kind in _COCO and not metric.classwise:
        return set().union(*(_of_coco(metric, each) for each in metric.metrics))
    return None


def _of_coco(metric: Any, kind: str) -> Collection[str]:
    if kind == 'proposal_fast':
        return {f'AR@{number}' for number in metric.proposal_nums}
    if kind == 'proposal':
        return metric.metric_items or _OF_PROPOSALS
    return {f'{kind}_{item}' for item in metric.metric_items or _OF_BOXES}
