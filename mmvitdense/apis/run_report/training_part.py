"""The parts of a report that are about the training: its plan, curves, and a comparison with other runs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape

import numpy as np

from mmvitdense.visualization.page import scrolled, side_by_side, table
from mmvitdense.visualization.plots import MOST_LINES, curves

from .parts import Parts, number
from .run_files import Curve, RunFiles

_OF_LAYER = re.compile(r'(^|\.)(d\d+|dn|enc|aux\d*)[._]')
"""Losses of the layers before the last of a decoder, and of what is only there to train: dozens in one model."""
_WIDTH = 530
"""Pixels of a plot: two stand side by side."""


def plan_part(parts: Parts, run: RunFiles) -> None:
    """What was trained, and on what machine."""
    rows = [('config', run.config_name or 'not found'), *run.plan]
    parts.add('<h2>Plan</h2>', table([('', ''), *rows], texts=(0, 1)))
    if run.environment:
        parts.add('<h3>Machine</h3>', table([('', ''), *run.environment], texts=(0, 1)))


def curve_parts(parts: Parts, run: RunFiles) -> None:
    """Curves of what was logged."""
    losses = {name: curve for name, curve in run.training.items() if 'loss' in name}
    few = len(losses) <= MOST_LINES
    shown = {name: curve for name, curve in losses.items() if few or not _OF_LAYER.search(name)}
    shown = dict(sorted(shown.items(), key=lambda item: (item[0] != 'loss', -_mean(item[1])))[:MOST_LINES])
    rates = {name: curve for name, curve in run.training.items() if re.fullmatch(r'(.*[./])?lr', name)}
    memory = {name: curve for name, curve in run.training.items() if name == 'memory'}
    times = {name: curve for name, curve in run.training.items() if name in ('time', 'data_time')}
    norm = {name: curve for name, curve in run.training.items() if name == 'grad_norm'}
    used = {*losses, *rates, *memory, *times, *norm, 'base_lr'}
    others = {name: curve for name, curve in run.training.items() if name not in used}
    plots = [('losses', shown, 'Losses'), ('learning_rate', rates, 'Learning rate')]
    plots += [('time', times, 'Seconds of an iteration, and of them waiting for data')]
    plots += [('memory', memory, 'GPU memory, MiB'), ('gradient', norm, 'Norm of the gradient')]
    plots += [('others', dict(list(others.items())[:MOST_LINES]), 'Other numbers of the training')]
    made = [_plot(parts, name, series, title) for name, series, title in plots]
    parts.add('<h2>Training</h2>', side_by_side(made))
    if left := len(losses) - len(shown):
        parts.add(f'<p>{left} losses of inner layers are in the log alone.</p>')
    if not memory:
        parts.add('<p>The memory is logged where a GPU trains.</p>')


def metric_parts(parts: Parts, run: RunFiles) -> None:
    """Curves and a table of the validations."""
    if not run.metrics:
        parts.add('<h2>Validations</h2><p>No validation was logged.</p>')
        return
    groups: dict[str, dict[str, Curve]] = {}
    for name, curve in run.metrics.items():
        groups.setdefault(_group(name), {})[name] = curve
    made = [
        _plot(parts, f'metrics{place or ""}', dict(list(series.items())[:MOST_LINES]), f'Validations: {group}')
        for place, (group, series) in enumerate(groups.items())
        if any(len(places) > 1 for places, _ in series.values())
    ]
    best = run.best_metrics()
    rows = [('metric', 'last', 'highest')]
    rows += [(name, number(value), number(best.get(name, math.nan))) for name, value in run.last_metrics().items()]
    parts.add('<h2>Validations</h2>', side_by_side(made), scrolled(table(rows)))


def comparison_part(parts: Parts, runs: Sequence[RunFiles]) -> None:
    """Curves of several runs over each other, and their metrics in one table, the highest of each in bold."""
    names = _names(runs)
    made = []
    for key, title in (('loss', 'Loss'), ('lr', 'Learning rate')):
        series = {name: run.training[key] for name, run in zip(names, runs) if key in run.training}
        made.append(_plot(parts, f'compared_{key}', series, title))
    metrics = list(dict.fromkeys(name for run in runs for name in run.metrics))
    for place, metric in enumerate(metrics[:6]):
        series = {name: run.metrics[metric] for name, run in zip(names, runs) if metric in run.metrics}
        if any(len(places) > 1 for places, _ in series.values()):
            made.append(_plot(parts, f'compared_metric{place}', series, metric))
    best = [run.best_metrics() for run in runs]
    rows = [('highest of each metric', *names)]
    rows += [(metric, *(number(found.get(metric, math.nan)) for found in best)) for metric in metrics]
    plans = list(dict.fromkeys(what for run in runs for what, _ in run.plan if what not in ('writes to', 'checked')))
    differing = [
        (what, *values) for what in plans if len(set(values := [dict(run.plan).get(what, '-') for run in runs])) > 1
    ]
    parts.add('<h2>Comparison</h2>')
    if differing:
        columns = tuple(range(len(runs) + 1))
        parts.add('<h3>What differs in the plans</h3>', table([('', *names), *differing], texts=columns))
    parts.add('<h3>Metrics</h3>', scrolled(table(rows)) if metrics else '<p>None was logged.</p>', side_by_side(made))


def _plot(parts: Parts, name: str, series: dict[str, Curve], title: str) -> str:
    if not series:
        return ''
    return parts.plot(name, curves(series, title, 'iteration'), _WIDTH)


def _mean(curve: Curve) -> float:
    values = np.asarray(curve[1], float)
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _group(metric: str) -> str:
    """Metrics in one plot have one range: those of a kind of result."""
    first, _, rest = metric.rpartition('/')
    return ' '.join(part for part in (first, rest.split('_')[0] if '_' in rest else '') if part) or 'scores'


def _names(runs: Sequence[RunFiles]) -> list[str]:
    """Names of the runs, those of one name by their paths."""
    names = [run.name for run in runs]
    return [name if names.count(name) == 1 else str(run.folder) for name, run in zip(names, runs)]


def heading(run: RunFiles) -> str:
    """The title of a report."""
    return f'<h1>{escape(run.name)}</h1><p>{escape(str(run.folder.resolve()))}</p>'
