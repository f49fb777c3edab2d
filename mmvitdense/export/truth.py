"""Predictions of one run as the truth for another, where there are no annotations."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

SURE = 0.3
"""Score from which on a detection of the first run is an object."""
_FEW = 10

Run = Sequence[Mapping[str, Any]]


def compressed(image: Mapping[str, Tensor]) -> dict[str, Any]:
    """Detections of an image with their masks as run lengths, which take little memory."""
    from pycocotools.mask import encode

    if 'masks' not in image:
        return dict(image)
    masks = [encode(np.asfortranarray(mask.numpy().astype(np.uint8))) for mask in image['masks']]
    return {**image, 'masks': masks}


def average_precisions(reference: Run, found: Run) -> dict[str, tuple[float, float]]:
    """AP of two runs, with the sure detections of the first as objects.

    Where the first run has less than one sure detection for each image, the ten best of each image are the objects.

    Args:
        reference, found: Of each image 'bboxes' N x 4, 'scores', 'labels' and maybe 'masks', as `compressed` gives.

    Returns:
        {'bbox' and maybe 'segm': (AP of the first run, AP of the second)}, as COCO counts it.
    """
    few = sum(int((image['scores'] >= SURE).sum()) for image in reference) < len(reference)
    objects = [_best(image, few) for image in reference]
    kinds = ['bbox', 'segm'] if all('masks' in image for image in (*reference, *found)) else ['bbox']
    return {kind: tuple(_average_precision(objects, run, kind) for run in (reference, found)) for kind in kinds}


def _best(image: Mapping[str, Any], few: bool) -> dict[str, Any]:
    places = image['scores'].argsort(descending=True, stable=True)
    places = places[:_FEW] if few else places[image['scores'][places] >= SURE]
    best = {name: image[name][places] for name in ('bboxes', 'scores', 'labels')}
    return best | ({'masks': [image['masks'][place] for place in places]} if 'masks' in image else {})


def _average_precision(objects: Run, found: Run, kind: str) -> float:
    """AP over overlaps from 0.5 to 0.95; NaN where there is no object."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, results = COCO(), COCO()
    labels = sorted({int(label) for image in (*objects, *found) for label in image['labels']})
    for coco, run in ((truth, objects), (results, found)):
        entries = [entry for index, image in enumerate(run) for entry in _entries(index, image, kind)]
        coco.dataset = {
            # Outlines would be drawn in this size; there are none.
            'images': [{'id': index, 'height': 1, 'width': 1} for index in range(len(objects))],
            'categories': [{'id': label} for label in labels],
            'annotations': [{**entry, 'id': number} for number, entry in enumerate(entries, start=1)],
        }
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
    evaluation = COCOeval(truth, results, kind)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]) if evaluation.stats[0] >= 0 else float('nan')


def _entries(index: int, image: Mapping[str, Any], kind: str) -> list[dict]:
    boxes = image['bboxes'].double().numpy()
    entries = []
    for place, (x1, y1, x2, y2) in enumerate(boxes):
        entry = {
            'image_id': index,
            'category_id': int(image['labels'][place]),
            'bbox': [x1, y1, x2 - x1, y2 - y1],
            'area': float((x2 - x1) * (y2 - y1)),
            'score': float(image['scores'][place]),
            'iscrowd': 0,
        }
        if kind == 'segm':
            from pycocotools.mask import area

            entry['segmentation'] = image['masks'][place]
            entry['area'] = float(area(entry['segmentation']))
        entries.append(entry)
    return entries
