"""Images of a data set with what is marked in them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmvitdense.datasets.checks.coco_masks import decoding_fault
from mmvitdense.datasets.doctor import DataError, Found, Split
from mmvitdense.datasets.image_decoding import UnreadableImageError, decode_image
from mmvitdense.visualization.drawing import Artist, class_colours
from mmvitdense.visualization.page import jpeg_text
from mmvitdense.visualization.scenes import Scene

_SIDE = 480
"""Longest side of a picture of the report, in pixels."""


def drawn_samples(found: Found, number: int) -> Iterator[tuple[str, str]]:
    """Draw images, evenly spread over the splits.

    Args:
        found: The data set.
        number: How many at most.

    Yields:
        (name of the image and its split, JPEG as text of base64).
    """
    artist = Artist(found.classes, class_colours(found.classes))
    splits = [split for split in found.splits if split.keep.any()]
    for split in splits:
        share = max(1, round(number * split.keep.sum() / sum(part.keep.sum() for part in splits)))
        chosen = _spread(split, min(share, number - len(splits) + 1))
        yield from _drawn(found, split, chosen, artist)


def notable_samples(found: Found) -> Iterator[tuple[str, str, str]]:
    """Draw images that are worth a look; yields (why, name, JPEG as text of base64)."""
    artist = Artist(found.classes, class_colours(found.classes))
    for split in found.splits:
        if split.file is None or not split.keep_objects.any() or split.file.panoptic:
            continue
        file = split.file
        kept = split.keep_objects & (file.image_index >= 0) & split.keep[file.image_index] & ~file.crowd
        if not kept.any():
            continue
        places = np.flatnonzero(kept)
        sides = file.boxes[places, 2:]
        reasons = {
            'the most objects': int(np.bincount(file.image_index[places]).argmax()),
            'the smallest object': int(file.image_index[places[sides.prod(1).argmin()]]),
            'the longest box for its width': int(
                file.image_index[places[(sides.max(1) / np.maximum(sides.min(1), 1e-3)).argmax()]]
            ),
        }
        for reason, index in reasons.items():
            for name, picture in _drawn(found, split, [index], artist):
                yield f'{reason} of {split.title}', name, picture


def _spread(split: Split, number: int) -> list[int]:
    """Images with something to see, evenly spread."""
    there = np.flatnonzero(split.keep)
    if split.file is not None:
        marked = np.zeros(len(split.images), dtype=bool)
        marked[split.file.image_index[split.keep_objects & (split.file.image_index >= 0)]] = True
        there = there[marked[there]] if marked[there].any() else there
    return there[np.unique(np.linspace(0, len(there) - 1, min(number, len(there))).round().astype(int))].tolist()


def _drawn(found: Found, split: Split, chosen: list[int], artist: Artist) -> Iterator[tuple[str, str]]:
    ids = {split.file.image_ids[index] for index in chosen} if split.file is not None else set()
    annotations = split.content(ids) if ids and not split.file.panoptic else []
    for index in chosen:
        try:
            with open(split.images[index], 'rb') as file:
                image, _ = decode_image(file.read())
            scene = _scene(found, split, index, annotations, image.shape)
        except (OSError, UnreadableImageError, DataError):
            continue
        picture = artist.draw(image, scene, legend=scene.label_map is not None)
        # Small images are drawn enlarged; what is too large for a page is reduced after the drawing.
        yield f'{split.names[index]} ({split.title})', jpeg_text(picture, _SIDE, round(1.6 * _SIDE))


def _scene(found: Found, split: Split, index: int, annotations: list[dict], shape: tuple) -> Scene:
    if found.table is not None:
        return Scene(label_map=found.table.read(split.maps[index]).astype(np.int32))
    if split.file.panoptic:
        return Scene(label_map=_panoptic_map(split, index, shape))
    number = split.file.image_ids[index]
    keep = dict(zip(split.file.annotation_ids, split.keep_objects.tolist(), strict=True))
    place = {item['id']: row for row, item in enumerate(split.file.categories)}
    items = [item for item in annotations if item['image_id'] == number and keep.get(item['id'])]
    boxes = np.array([item['bbox'] for item in items], float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    masks = [_code(item.get('segmentation'), *shape[:2]) for item in items]
    return Scene(
        boxes=boxes,
        labels=np.array([place[item['category_id']] for item in items], np.int64),
        masks=masks if masks and all(masks) else None,
    )


def _code(outline: object, height: int, width: int) -> dict | None:
    """The mask of an annotation as a run-length code of the image; None where there is none that can be decoded."""
    from pycocotools import mask

    if not outline or decoding_fault(outline, height, width):
        return None
    if isinstance(outline, list):
        return mask.merge(mask.frPyObjects([part for part in outline if len(part) > 5], height, width))
    return outline if isinstance(outline['counts'], (str, bytes)) else mask.frPyObjects(outline, height, width)


def _panoptic_map(split: Split, index: int, shape: tuple) -> np.ndarray:
    """Classes of the pixels of a picture of panoptic segments; others are beyond the classes."""
    from mmvitdense.datasets.doctor.formats.coco_panoptic import segment_picture

    numbers = segment_picture(split, index)
    labels = np.full(shape[:2], 10**6, np.int32)
    for place in np.flatnonzero(split.file.image_index == index):
        labels[numbers == split.file.annotation_ids[place]] = split.file.category_index[place]
    return labels
