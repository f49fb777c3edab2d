"""Why detections are wrong, and what each kind of mistake costs: TIDE (arXiv 2008.08115, section 2).

tidecv, the code of its authors, has had no release since 2020; the counts and the costs here are those of its version
1.0.1 (`tidecv/quantify.py`), but for two things: detections in a crowd count as no mistake, and the average is over the
classes that have objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .matching import Pair, excused, matched

KINDS = ('classification', 'localisation', 'both', 'duplicate', 'background', 'missed')
"""Right place and wrong class; right class and place by half; neither; found before; nothing there; not found."""
_RIGHT, _MISSED = -1, KINDS.index('missed')


@dataclass
class ErrorKinds:
    """Mistakes by their kinds.

    Attributes:
        counts: {kind: how many}.
        costs: {kind: by how much the average precision would rise without them}.
        ap: The average precision, at one overlap.
    """

    counts: dict[str, int]
    costs: dict[str, float]
    ap: float


@dataclass
class _Points:
    """Detections as points of the curves: class, score, whether right, kind of mistake, class once mended or -1."""

    labels: np.ndarray
    scores: np.ndarray
    right: np.ndarray
    kinds: np.ndarray
    mended: np.ndarray


def error_kinds(of: Iterable[Pair], classes: int, least_iou: float = 0.5, background: float = 0.1) -> ErrorKinds:
    """Find the kind of each mistake.

    Args:
        of: The images.
        classes: Number of classes.
        least_iou: From this overlap on a detection has found an object.
        background: Up to this overlap there is nothing.
    """
    parts, objects, missed = [], np.zeros(classes, int), np.zeros(classes, int)
    for pair in of:
        points, usable = _of_image(pair, least_iou, background)
        parts.append(points)
        objects += np.bincount(pair.true_labels, minlength=classes)
        missed += np.bincount(pair.true_labels[~usable], minlength=classes)
    names = ('labels', 'scores', 'right', 'kinds', 'mended')
    points = _Points(*(np.concatenate([getattr(part, name) for part in parts] or [np.zeros(0, int)]) for name in names))
    counts = {kind: int((points.kinds == place).sum()) for place, kind in enumerate(KINDS)}
    counts['missed'] = int(missed.sum())
    ap = _mean_precision(points, objects, objects > 0)
    costs = {
        kind: max(_mean_precision(*_without(points, place, objects, missed), objects > 0) - ap, 0.0)
        for place, kind in enumerate(KINDS)
    }
    return ErrorKinds(counts, costs, ap)


def _of_image(pair: Pair, least: float, background: float) -> tuple[_Points, np.ndarray]:
    """The points of an image, and which of its objects are found or would be if mistakes were mended."""
    found = matched(pair, least)
    number, objects = pair.ious.shape
    used = np.zeros(objects, bool)
    used[found[found >= 0]] = True
    same = pair.labels[:, None] == pair.true_labels[None]
    kinds, mended = np.full(number, _RIGHT), np.full(number, -1)
    best: dict[int, int] = {}
    usable = used.copy()
    for index in np.flatnonzero(found < 0):
        kinds[index], target = _kind(pair.ious[index], same[index], used, least, background)
        if target is not None and not used[target]:
            usable[target] = True
            # Only the highest score of those that would find an object is right once mended.
            if best.setdefault(target, index) == index:
                mended[index] = pair.true_labels[target]
    keep = (found >= 0) | ~excused(pair, least)
    return _Points(pair.labels[keep], pair.scores[keep], found[keep] >= 0, kinds[keep], mended[keep]), usable


def _kind(
    ious: np.ndarray, same: np.ndarray, used: np.ndarray, least: float, background: float
) -> tuple[int, int | None]:
    """The kind of a detection that is wrong, and the object that it would find if it were mended."""
    if not len(ious):
        return KINDS.index('background'), None
    of_class, of_others = ious * same, ious * ~same
    if background <= of_class.max() <= least:
        return KINDS.index('localisation'), int(of_class.argmax())
    if of_others.max() >= least:
        return KINDS.index('classification'), int(of_others.argmax())
    if (of_class * used).max() >= least:
        return KINDS.index('duplicate'), None
    return KINDS.index('background' if ious.max() <= background else 'both'), None


def _without(points: _Points, kind: int, objects: np.ndarray, missed: np.ndarray) -> tuple[_Points, np.ndarray]:
    """The points, and the number of objects, if there were no mistakes of a kind."""
    if kind == _MISSED:
        return points, objects - missed
    of_kind = points.kinds == kind
    keep = ~of_kind | (points.mended >= 0)
    labels = np.where(of_kind & keep, points.mended, points.labels)
    right = points.right | (of_kind & keep)
    return _Points(labels[keep], points.scores[keep], right[keep], points.kinds[keep], points.mended[keep]), objects


def _mean_precision(points: _Points, objects: np.ndarray, scored: np.ndarray) -> float:
    found = []
    for label in np.flatnonzero(scored):
        of_class = points.labels == label
        found.append(average_precision(points.scores[of_class], points.right[of_class], int(objects[label])))
    return float(np.mean(found)) if found else float('nan')


def average_precision(scores: np.ndarray, right: np.ndarray, objects: int) -> float:
    """COCO's average precision of a class: the mean of 101 points of its curve."""
    if not objects or not len(scores):
        return 0.0
    order = np.argsort(-scores, kind='stable')
    hits = np.cumsum(right[order])
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    places = np.searchsorted(hits / objects, np.linspace(0, 1, 101), side='left')
    return float(np.where(places < len(precision), precision[np.minimum(places, len(precision) - 1)], 0.0).mean())
