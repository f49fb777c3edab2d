"""The images that were done worst: labels on the left, predictions on the right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmvitdense.datasets.image_decoding import UnreadableImageError
from mmvitdense.evaluation.coco_scores import Detections
from mmvitdense.visualization.drawing import Artist, as_picture
from mmvitdense.visualization.page import jpeg_text, pictures
from mmvitdense.visualization.scenes import Scene

from ..image_loading import loading_of
from .collecting import Collected
from .detection_part import shown_kinds, worst_images
from .parts import Parts

_HEIGHT, _WIDTH = 400, 1060
_MOST = 12


def worst_part(parts: Parts, collected: Collected, score_thr: float) -> None:
    """Draw them."""
    artist = Artist(collected.classes, collected.dataset.metainfo.get('palette'))
    drawn = []
    if collected.pixels is not None:
        drawn += _maps(collected, artist)
    elif collected.truth is not None and shown_kinds(collected):
        drawn += _objects(collected, artist, score_thr)
    title = 'Worst images: labels on the left, predictions on the right'
    parts.add(pictures(title, drawn, wide=True))


def _maps(collected: Collected, artist: Artist) -> Iterator[tuple[str, str]]:
    for kept in collected.pixels.worst:
        true = Scene(label_map=np.where(kept.true < 0, 255, kept.true))
        predicted = Scene(segment_map=kept.predicted) if kept.panoptic else Scene(label_map=kept.predicted)
        text = f'{Path(kept.path).name}: mean IoU {-100 * kept.score:.1f}'
        if kept.panoptic and kept.place < len(collected.image_qualities):
            text += f', PQ {100 * collected.image_qualities[kept.place]:.1f}'
        if picture := _drawn(collected, kept.place, artist, true, predicted):
            yield text, picture


def _objects(collected: Collected, artist: Artist, score_thr: float) -> Iterator[tuple[str, str]]:
    place = {number: label for label, number in enumerate(collected.category_ids)}
    for score, index in worst_images(collected, score_thr, _MOST):
        one = collected.found[index]
        items = [item for item in collected.truth.imgToAnns.get(one.image_id, ()) if item['category_id'] in place]
        boxes = np.array([item['bbox'] for item in items], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        masks = 'segm' in collected.kinds and all(item.get('segmentation') for item in items)
        true = Scene(
            boxes=boxes,
            labels=np.array([place[item['category_id']] for item in items], int),
            masks=[collected.truth.annToRLE(item) for item in items] if masks else None,
        )
        if picture := _drawn(collected, index, artist, true, _found_scene(one, score_thr)):
            yield f'{_name(collected, index)}: F1 {100 * score:.1f} at a score of {score_thr:g}', picture


def _found_scene(one: Detections, score_thr: float) -> Scene:
    shown = np.flatnonzero(one.scores >= score_thr)
    masks = None if one.mask_counts is None else [one.code(index) for index in shown]
    return Scene(boxes=one.boxes[shown], labels=one.labels[shown], scores=one.scores[shown], masks=masks)


def _drawn(collected: Collected, place: int, artist: Artist, true: Scene, predicted: Scene) -> str | None:
    """Both on the image, as text of base64; None where the image cannot be read any more."""
    try:
        image = as_picture(loading_of(collected.dataset, place)())
    except (OSError, UnreadableImageError):
        return None
    sides = [artist.draw(image, scene) for scene in (true, predicted)]
    gap = np.full((sides[0].shape[0], 8, 3), 255, np.uint8)
    return jpeg_text(np.concatenate([sides[0], gap, sides[1]], axis=1), _HEIGHT, _WIDTH)


def _name(collected: Collected, place: int) -> str:
    path = collected.dataset.get_data_info(place).get('img_path')
    return Path(path).name if path else f'image {place}'
