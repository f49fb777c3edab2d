"""COCO's precision and recall in bounded memory, by faster-coco-eval where it is installed, else by pycocotools.

Categories are scored apart by the definition of the metric (`cocoeval.py` of pycocotools: each pair of an image and a
category is matched by itself). So they can be scored a few at a time, and only the detections of these few are ever
Python objects.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmvitdense.progress import progress

_AT_ONCE = 50_000
"""Detections that are Python objects at a time: about 100 MB with what pycocotools makes of them."""
BOTH = 'faster-coco-eval', 'pycocotools'


@dataclass
class Detections:
    """What was found in an image.

    Attributes:
        image_id: As in the annotation file.
        boxes: N x 4, x1, y1, x2, y2 in pixels of the image.
        scores: N.
        labels: N class indices.
        mask_scores: N, where masks have scores of their own.
        mask_size: Height and width of the masks.
        mask_counts: N run lengths, as COCO compresses them; None without masks.
    """

    image_id: Any
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    mask_scores: np.ndarray | None = None
    mask_size: tuple[int, int] = (0, 0)
    mask_counts: list[bytes] | None = None

    def code(self, index: int) -> dict[str, Any]:
        """A mask as pycocotools takes it."""
        return {'size': list(self.mask_size), 'counts': self.mask_counts[index]}


@dataclass
class CocoScores:
    """Scores of one kind, boxes or masks.

    Attributes:
        precision: T x R x K x A x M: by IoU, recall (0, 0.01, ... 1), category, size of objects (all, small, medium,
            large) and number of detections of an image; -1 where there are no objects.
        recall: T x K x A x M.
        iou_thrs: T.
        max_dets: M.
    """

    precision: np.ndarray
    recall: np.ndarray
    iou_thrs: np.ndarray
    max_dets: list[int]

    def average(self, category: int, iou: float | None = None, size: int = 0, max_dets: int = -1) -> float:
        """The average precision of a category from 0 to 1, NaN where it has no objects.

        Args:
            category: Its place.
            iou: One threshold in the place of all.
            size: 0 for objects of all sizes, 1 to 3 for small, medium and large ones.
            max_dets: The place of the number of detections.
        """
        chosen = slice(None) if iou is None else np.isclose(self.iou_thrs, iou)
        found = self.precision[chosen, :, category, size, max_dets]
        found = found[found > -1]
        return float(found.mean()) if found.size else float('nan')


def library(image_ids: Sequence[Any]) -> str:
    """The library that scores: faster-coco-eval takes whole numbers alone for ids of images."""
    whole = all(isinstance(number, (int, np.integer)) for number in image_ids)
    return BOTH[0] if whole and importlib.util.find_spec('faster_coco_eval') else BOTH[1]


def coco_scores(
    truth: Any,
    found: Sequence[Detections],
    kind: str,
    category_ids: Sequence[int],
    image_ids: Sequence[Any],
    iou_thrs: Sequence[float],
    max_dets: Sequence[int],
    by: str | None = None,
) -> CocoScores:
    """Score detections.

    Args:
        truth: pycocotools' `COCO`, or one that inherits from it.
        found: Of each image; images that are not in `image_ids` are passed over.
        kind: 'bbox' or 'segm'.
        category_ids: The category of each class index.
        image_ids: The images that are scored.
        iou_thrs: Least overlaps.
        max_dets: Most detections of an image and a category, the highest scores first.
        by: 'faster-coco-eval' or 'pycocotools'; by default the first where it is installed.

    Returns:
        The scores, categories in the order of `category_ids`.
    """
    thresholds, limits = np.asarray(iou_thrs, float), sorted(max_dets)
    scorer = _Scorer(truth, kind, image_ids, thresholds, limits, by or library(image_ids))
    shape = (len(thresholds), 101, len(category_ids), 4, len(limits))
    scores = CocoScores(np.full(shape, -1.0), np.full((shape[0], *shape[2:]), -1.0), thresholds, limits)
    wanted = set(image_ids)
    found = [one for one in found if one.image_id in wanted]
    groups = list(_groups(found, len(category_ids)))
    for group in progress(groups, f'Scoring {kind}'):
        group = sorted(group, key=lambda place: category_ids[place])
        part = scorer.score(_annotations(found, kind, group, category_ids), [category_ids[place] for place in group])
        scores.precision[:, :, group], scores.recall[:, group] = part['precision'], part['recall']
    return scores


class _Scorer:
    """One of the two libraries, with the truth."""

    def __init__(
        self, truth: Any, kind: str, image_ids: Sequence[Any], iou_thrs: np.ndarray, max_dets: list[int], by: str
    ):
        if by == BOTH[0]:
            from faster_coco_eval import COCO, COCOeval_faster

            self._coco, self._eval = COCO, COCOeval_faster
            truth = COCO(truth.dataset)
        else:
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval

            self._coco, self._eval = COCO, COCOeval
        self._truth = truth
        self._settings = {'imgIds': list(image_ids), 'iouThrs': iou_thrs, 'maxDets': max_dets}
        self._kind = kind

    def score(self, annotations: list[dict], category_ids: list[int]) -> dict[str, np.ndarray]:
        """Precision and recall of some categories, in the order of their ids."""
        with contextlib.redirect_stdout(io.StringIO()):
            results = self._coco()
            results.dataset = {**self._truth.dataset, 'annotations': annotations}
            results.createIndex()
            run = self._eval(self._truth, results, self._kind)
            for name, value in {**self._settings, 'catIds': category_ids}.items():
                setattr(run.params, name, value)
            run.evaluate()
            run.accumulate()
        return run.eval


def _groups(found: Sequence[Detections], classes: int) -> Iterator[list[int]]:
    """Classes that are scored together."""
    counts = np.zeros(classes, np.int64)
    for one in found:
        counts += np.bincount(one.labels, minlength=classes)[:classes]
    group, size = [], 0
    for label, count in enumerate(counts.tolist()):
        if group and size + count > _AT_ONCE:
            yield group
            group, size = [], 0
        group.append(label)
        size += count
    if group:
        yield group


def _annotations(
    found: Sequence[Detections], kind: str, group: Sequence[int], category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """The detections of some classes as COCO's results, with the fields that `COCO.loadRes` adds to them."""
    from pycocotools import mask

    annotations = []
    of_group = np.zeros(len(category_ids), bool)
    of_group[list(group)] = True
    for one in found:
        chosen = np.flatnonzero(of_group[one.labels])
        if not len(chosen):
            continue
        boxes = one.boxes[chosen].astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        scores = one.mask_scores if kind == 'segm' and one.mask_scores is not None else one.scores
        codes = [one.code(index) for index in chosen] if kind == 'segm' else [None] * len(chosen)
        areas = mask.area(codes) if kind == 'segm' else boxes[:, 2] * boxes[:, 3]
        if kind == 'segm':
            boxes = mask.toBbox(codes)
        for box, score, label, area, code in zip(
            boxes.tolist(), scores[chosen].tolist(), one.labels[chosen].tolist(), areas.tolist(), codes
        ):
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': one.image_id,
                    'category_id': category_ids[label],
                    'bbox': box,
                    'score': score,
                    'area': area,
                    'iscrowd': 0,
                    **({} if code is None else {'segmentation': code}),
                }
            )
    return annotations
