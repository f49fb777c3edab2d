"""Detections beside the objects of their image: who overlaps whom, and who is whose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .coco_scores import Detections

_MOST = 100


@dataclass
class Pair:
    """An image with what was found in it, the highest scores first.

    Attributes:
        image_id: As in the annotation file.
        scores: N.
        labels: N class indices.
        true_labels: M class indices.
        ious: N x M.
        crowd_labels: Class indices of the C regions of crowds.
        in_crowd: N x C, the share of a detection that lies in a region.
    """

    image_id: Any
    scores: np.ndarray
    labels: np.ndarray
    true_labels: np.ndarray
    ious: np.ndarray
    crowd_labels: np.ndarray
    in_crowd: np.ndarray


def pairs(
    truth: Any, found: Sequence[Detections], kind: str, category_ids: Sequence[int], image_ids: Sequence[Any]
) -> Iterator[Pair]:
    """Bring together what was found and what is there.

    Args:
        truth: pycocotools' `COCO`.
        found: Of each image.
        kind: 'bbox' or 'segm'.
        category_ids: The category of each class index.
        image_ids: The images that are looked at.
    """
    wanted = set(image_ids)
    place = {number: label for label, number in enumerate(category_ids)}
    for one in found:
        if one.image_id in wanted:
            items = [item for item in truth.imgToAnns.get(one.image_id, ()) if item['category_id'] in place]
            yield _pair(truth, one, items, kind, place)


def _pair(truth: Any, one: Detections, items: list[dict], kind: str, place: dict[int, int]) -> Pair:
    from pycocotools import mask

    scores = one.mask_scores if kind == 'segm' and one.mask_scores is not None else one.scores
    order = np.argsort(-scores, kind='stable')[:_MOST]
    if kind == 'segm':
        shapes = [one.code(index) for index in order]
    else:
        boxes = one.boxes[order].astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        shapes = boxes
    objects, crowds = ([item for item in items if bool(item.get('iscrowd')) == crowd] for crowd in (False, True))

    def overlaps(of: list[dict], crowd: int) -> np.ndarray:
        if not len(order) or not of:
            return np.zeros((len(order), len(of)))
        others = (
            [truth.annToRLE(item) for item in of] if kind == 'segm' else np.array([item['bbox'] for item in of], float)
        )
        return np.asarray(mask.iou(shapes, others, [crowd] * len(of)), float)

    true_labels, crowd_labels = (np.array([place[item['category_id']] for item in of], int) for of in (objects, crowds))
    return Pair(
        one.image_id,
        scores[order].astype(float),
        one.labels[order].astype(int),
        true_labels,
        overlaps(objects, 0),
        crowd_labels,
        overlaps(crowds, 1),
    )


def matched(pair: Pair, least: float) -> np.ndarray:
    """The object of each detection, -1 for none: in order of the scores, the free one of the class it overlaps most."""
    free = np.where(pair.labels[:, None] == pair.true_labels[None], pair.ious, 0.0)
    found = np.full(len(pair.labels), -1)
    for index in range(len(found) if free.shape[1] else 0):
        best = int(free[index].argmax())
        if free[index, best] >= least:
            found[index] = best
            free[:, best] = 0
    return found


def excused(pair: Pair, least: float, of_class: bool = True) -> np.ndarray:
    """Which detections lie in a crowd (of their class), so that they are no mistakes."""
    inside = pair.in_crowd > least
    if of_class:
        inside = inside & (pair.labels[:, None] == pair.crowd_labels[None])
    return inside.any(1)


def image_score(pair: Pair, least_iou: float, score_thr: float) -> float:
    """How well an image was done, from 0 to 1: matches over matches and half of what is missed or too much (F1).

    NaN where there are no objects and nothing was found.
    """
    shown = pair.scores >= score_thr
    found = matched(_shown(pair, shown), least_iou)
    right = int((found >= 0).sum())
    wrong = int(((found < 0) & ~excused(_shown(pair, shown), least_iou)).sum())
    total = right + 0.5 * (wrong + len(pair.true_labels) - right)
    return right / total if total else float('nan')


def confusion(of: Sequence[Pair] | Iterator[Pair], classes: int, least_iou: float, score_thr: float) -> np.ndarray:
    """How often objects of each class (rows) are found as each class (columns).

    Detections and objects, of whatever class, are matched one to one, the largest overlaps first.

    Returns:
        (K + 1) x (K + 1) of whole numbers; the last row counts detections of nothing, the last column what is missed.
    """
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    for pair in of:
        pair = _shown(pair, pair.scores >= score_thr)
        ious = pair.ious.copy()
        taken, used = np.full(len(pair.labels), -1), np.zeros(len(pair.true_labels), bool)
        while ious.size and ious.max() >= least_iou:
            row, column = np.unravel_index(ious.argmax(), ious.shape)
            taken[row], used[column] = column, True
            ious[row], ious[:, column] = -1, -1
        right = taken >= 0
        np.add.at(counts, (pair.true_labels[taken[right]], pair.labels[right]), 1)
        nothing = ~right & ~excused(pair, least_iou, of_class=False)
        np.add.at(counts, (classes, pair.labels[nothing]), 1)
        np.add.at(counts, (pair.true_labels[~used], classes), 1)
    return counts


def _shown(pair: Pair, which: np.ndarray) -> Pair:
    return Pair(
        pair.image_id,
        pair.scores[which],
        pair.labels[which],
        pair.true_labels,
        pair.ious[which],
        pair.crowd_labels,
        pair.in_crowd[which],
    )
