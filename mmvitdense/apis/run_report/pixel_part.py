"""The parts of a report about label maps and panoptic segments."""

from __future__ import annotations

import numpy as np

from mmvitdense.evaluation.pixel_confusion import class_ious
from mmvitdense.visualization.charts import bars
from mmvitdense.visualization.page import scrolled, side_by_side, table
from mmvitdense.visualization.plots import matrix

from .collecting import Collected
from .detection_part import most_confused
from .parts import Parts, in_order, percent

_MOST_IN_MATRIX = 40


def panoptic_part(parts: Parts, collected: Collected) -> None:
    """The qualities of each class."""
    rows = [[name, *map(percent, values)] for name, values in collected.panoptic.items()]
    ordered = in_order(rows, [values[0] for values in collected.panoptic.values()])
    parts.add('<h2>Classes: panoptic segments</h2>', scrolled(table([['class', 'PQ', 'SQ', 'RQ'], *ordered])))


def pixel_parts(parts: Parts, collected: Collected) -> None:
    """IoU and accuracy of each class, and which is taken for which."""
    counts = collected.pixels.counts
    if counts is None or not counts.sum():
        parts.add('<h2>Pixels</h2><p>The test set has no label maps to compare with.</p>')
        return
    ious, accuracies = class_ious(counts)
    shares = counts.sum(1) / counts.sum()
    names = collected.classes
    rows = [
        [name, percent(ious[place]), percent(accuracies[place]), f'{100 * shares[place]:.2f}%']
        for place, name in enumerate(names)
    ]
    mean = ['mean', percent(np.nanmean(ious)), percent(np.nanmean(accuracies)), '']
    head = ['class', 'IoU', 'Acc', 'share of the pixels']
    parts.add('<h2>Classes: pixels</h2>', scrolled(table([head, mean, *in_order(rows, ious.tolist())])))
    known = np.flatnonzero(~np.isnan(ious))
    lowest = known[np.argsort(ious[known], kind='stable')]
    chart = bars([names[place] for place in lowest], {'IoU': [round(100 * ious[place], 1) for place in lowest]})
    parts.add(f'<h3>IoU, the lowest first</h3>{chart}', _confusion(parts, counts, names))


def _confusion(parts: Parts, counts: np.ndarray, names: tuple[str, ...]) -> str:
    """The matrix of pixels; of many classes those with the most wrong pixels."""
    square = counts[:, :-1]
    wrong = counts.sum(1) + square.sum(0) - 2 * np.diagonal(counts)
    order = sorted(np.argsort(-wrong, kind='stable')[:_MOST_IN_MATRIX].tolist())
    columns, labels = order, [names[place] for place in order]
    if counts[:, -1].any():
        columns, labels = [*order, len(names)], [*labels, 'no class']
    with np.errstate(invalid='ignore', divide='ignore'):
        shares = counts[np.ix_(order, columns)] / counts.sum(1)[order][:, None]
    content = matrix(
        shares, [names[place] for place in order], labels, 'Percent of the pixels of each row', 'found as', 'is'
    )
    more = (
        f'<p>The {len(order)} classes with the most wrong pixels, of {len(names)}.</p>'
        if len(order) < len(names)
        else ''
    )
    made = [parts.plot('confusion_pixels', content), most_confused(counts, names, 'pixels')]
    return f'<h3>Confusion of pixels</h3>{more}{side_by_side(made)}'
