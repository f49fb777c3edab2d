"""The parts of a report about boxes and masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mmvitdense.evaluation.coco_scores import CocoScores, coco_scores
from mmvitdense.evaluation.error_kinds import ErrorKinds, error_kinds
from mmvitdense.evaluation.matching import Pair, confusion, image_score, pairs
from mmvitdense.progress import progress
from mmvitdense.visualization.charts import bars
from mmvitdense.visualization.page import scrolled, side_by_side, table
from mmvitdense.visualization.plots import MOST_LINES, curves, matrix

from .collecting import Collected
from .parts import Parts, in_order, percent

_NAMES = {'bbox': 'boxes', 'segm': 'masks'}
_SIZES = ('small', 'medium', 'large')
_IOUS = np.linspace(0.5, 0.95, 10)
_LEAST = 0.5
_MOST_IN_MATRIX = 40


def detection_parts(parts: Parts, collected: Collected, score_thr: float) -> None:
    """Scores of classes, curves, mistakes."""
    for kind in shown_kinds(collected):
        _parts_of(kind, parts, collected, score_thr)


def shown_kinds(collected: Collected) -> list[str]:
    """What was scored and predicted, of 'bbox' and 'segm'."""
    masks = all(one.mask_counts is not None for one in collected.found if len(one.labels))
    return [kind for kind in collected.kinds if kind == 'bbox' or masks]


def _parts_of(kind: str, parts: Parts, collected: Collected, score_thr: float) -> None:
    truth, ids, images = collected.truth, collected.category_ids, collected.image_ids
    names = collected.classes[: len(ids)]  # of panoptic data the things, which come first
    scores = coco_scores(truth, collected.found, kind, ids, images, _IOUS, (1, 10, 100))
    objects, counts = np.zeros(len(names), int), np.zeros((len(names) + 1, len(names) + 1), int)

    def counted() -> Iterator[Pair]:
        """One image at a time: those of a large data set together take gigabytes."""
        for pair in progress(pairs(truth, collected.found, kind, ids, images), 'Matching', len(images)):
            objects[:] += np.bincount(pair.true_labels, minlength=len(names))
            counts[:] += confusion([pair], len(names), _LEAST, score_thr)
            yield pair

    mistakes = error_kinds(counted(), len(names))
    parts.add(f'<h2>Classes: {_NAMES[kind]}</h2>', _class_table(scores, objects, names))
    sizes = f'<h3>Average precision by size, {_NAMES[kind]}</h3>{_sizes(scores)}'
    parts.add(side_by_side([_precision_recall(parts, kind, scores, names), sizes]), _error_part(kind, mistakes))
    if kind == 'bbox':
        parts.add(confusion_part(parts, counts, names, score_thr))


def worst_images(collected: Collected, score_thr: float, number: int) -> list[tuple[float, int]]:
    """(score, place in the list of detections) of the images that were done worst, the worst first."""
    kind = shown_kinds(collected)[-1]
    place = {one.image_id: index for index, one in enumerate(collected.found)}
    of_images = pairs(collected.truth, collected.found, kind, collected.category_ids, collected.image_ids)
    scored = [(image_score(pair, _LEAST, score_thr), place[pair.image_id], len(pair.true_labels)) for pair in of_images]
    known = [item for item in scored if not np.isnan(item[0])]
    # Of images with the same score those with the most objects say most.
    return [(score, index) for score, index, _ in sorted(known, key=lambda item: (item[0], -item[2]))[:number]]


def _class_table(scores: CocoScores, objects: np.ndarray, classes: Sequence[str]) -> str:
    columns = ((None, 0), (0.5, 0), (0.75, 0), (None, 1), (None, 2), (None, 3))
    values = [[scores.average(place, iou, size) for iou, size in columns] for place in range(len(classes))]
    rows = [
        [name, f'{objects[place]:,}', *map(percent, values[place]), percent(_recall(scores, place))]
        for place, name in enumerate(classes)
    ]
    means = [_mean([row[column] for row in values]) for column in range(len(columns))]
    recall = _mean([_recall(scores, place) for place in range(len(classes))])
    head = ['class', 'objects', 'AP', 'AP50', 'AP75', 'AP small', 'AP medium', 'AP large', 'AR']
    mean = ['mean', f'{int(objects.sum()):,}', *map(percent, means), percent(recall)]
    return scrolled(table([head, mean, *in_order(rows, [row[0] for row in values])]))


def _recall(scores: CocoScores, place: int) -> float:
    found = scores.recall[:, place, 0, -1]
    return float(found[found > -1].mean()) if (found > -1).any() else float('nan')


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float('nan')


def _precision_recall(parts: Parts, kind: str, scores: CocoScores, classes: Sequence[str]) -> str:
    """Curves at the lowest overlap of the classes with the lowest precision, and their mean over all."""
    recalls = np.linspace(0, 1, 101)
    at_least = scores.precision[0, :, :, 0, -1]
    scored = [place for place in range(len(classes)) if (at_least[:, place] > -1).all()]
    if not scored:
        return ''
    lowest = sorted(scored, key=lambda place: at_least[:, place].mean())[: MOST_LINES - 1]
    series = {'mean of all': (recalls, at_least[:, scored].mean(1))}
    series |= {classes[place]: (recalls, at_least[:, place]) for place in lowest}
    title = f'Precision by recall, {_NAMES[kind]} at IoU 0.5'
    if len(lowest) < len(scored):
        title += f', the {len(lowest)} lowest of {len(scored)} classes'
    return parts.plot(f'precision_recall_{kind}', curves(series, title, 'recall', (0, 1.02)), 560)


def _sizes(scores: CocoScores) -> str:
    classes = scores.precision.shape[2]
    values = [_mean([scores.average(place, None, size) for place in range(classes)]) for size in (1, 2, 3)]
    shown = [(name, round(100 * value, 1)) for name, value in zip(_SIZES, values) if not np.isnan(value)]
    text = '<p>Small is below 32 x 32 pixels, large above 96 x 96.</p>'
    return bars([name for name, _ in shown], {'AP': [value for _, value in shown]}) + text if shown else ''


def _error_part(kind: str, found: ErrorKinds) -> str:
    meaning = {
        'classification': 'right place, wrong class',
        'localisation': 'right class, overlap below 0.5',
        'both': 'wrong class and overlap below 0.5',
        'duplicate': 'found a second time',
        'background': 'nothing is there',
        'missed': 'not found at all',
    }
    rows = [['mistake', 'what it is', 'how many', 'AP50 it costs']]
    rows += [[name, text, f'{found.counts[name]:,}', percent(found.costs[name])] for name, text in meaning.items()]
    chart = bars(list(meaning), {'cost': [round(100 * found.costs[name], 1) for name in meaning]})
    text = f'<p>AP50 is {percent(found.ap)}; a cost is its gain if mistakes of that kind alone were mended. '
    text += 'A class of which nothing was found gains nothing without what is missed.</p>'
    return f'<h3>Kinds of mistakes, {_NAMES[kind]}</h3>{text}{side_by_side([table(rows, texts=(0, 1)), chart])}'


def confusion_part(parts: Parts, counts: np.ndarray, classes: Sequence[str], score_thr: float) -> str:
    """The matrix of boxes; of many classes those that are confused most."""
    last = len(classes)
    names = [*classes, 'missed']
    order = _shown_classes(counts, last)
    rows = [*order, last]
    shown = counts[np.ix_(rows, rows)].astype(float)
    totals = counts.sum(1)[rows]
    with np.errstate(invalid='ignore', divide='ignore'):
        shares = shown / totals[:, None]
    shares[-1, -1] = np.nan
    content = matrix(
        shares,
        [*(f'{classes[place]}' for place in order), 'nothing'],
        [names[place] for place in rows],
        'Boxes, percent of each row',
        'found as',
        'is',
    )
    title = f'<h3>Confusion of boxes</h3><p>Boxes with a score of {score_thr:g} or more, at IoU 0.5.</p>'
    more = f'<p>The {len(order)} classes with the most mistakes, of {last}.</p>' if len(order) < last else ''
    return (
        title + more + side_by_side([parts.plot('confusion_boxes', content), most_confused(counts, names, 'objects')])
    )


def _shown_classes(counts: np.ndarray, classes: int) -> list[int]:
    mistakes = counts[:classes].sum(1) + counts[:, :classes].sum(0)[:classes] - 2 * np.diagonal(counts)[:classes]
    return sorted(np.argsort(-mistakes, kind='stable')[:_MOST_IN_MATRIX].tolist())


def most_confused(counts: np.ndarray, names: Sequence[str], what: str, most: int = 12) -> str:
    """A table of the largest entries beside the diagonal, of a matrix whose rows and columns have these names."""
    wrong = counts.astype(np.int64).copy()
    classes = min(wrong.shape) if wrong.shape[0] != wrong.shape[1] else len(wrong) - 1
    np.fill_diagonal(wrong, 0)
    wrong = wrong[:classes, :classes]
    order = np.argsort(-wrong, axis=None, kind='stable')[:most]
    rows = [['is', 'found as', what, 'of the class']]
    for row, column in zip(*np.unravel_index(order, wrong.shape)):
        if wrong[row, column]:
            share = wrong[row, column] / max(counts[row].sum(), 1)
            rows.append([names[row], names[column], f'{wrong[row, column]:,}', f'{100 * share:.1f}%'])
    return table(rows, texts=(0, 1)) if len(rows) > 1 else '<p>No class is taken for another.</p>'
