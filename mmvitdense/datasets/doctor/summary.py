"""Counts of a data set, as tables and histograms show them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..checks.label_maps import IGNORED
from .found import Found, Split

SMALL, LARGE = 32**2, 96**2
"""Areas in pixels between which COCO calls an object medium."""


@dataclass(frozen=True)
class SplitCounts:
    """What one split holds.

    Attributes:
        name: The split.
        images: How many images are whole.
        empty: How many of them have no object, or no label.
        objects: How many objects; of label maps, how many maps.
        crowds: How many of the objects are ignored.
        masks: How many objects have an outline.
        sizes: (width, height) of each image, N x 2.
        per_image: Objects of each image, or classes of each map.
        areas: Of each object in pixels; of label maps none.
        per_class: Objects of each class, or images in which it occurs.
        pixels: Share of the pixels of each class; None where there are no label maps.
        unlabelled: Share of the pixels of no class.
    """

    name: str
    images: int
    empty: int
    objects: int
    crowds: int
    masks: int
    sizes: np.ndarray
    per_image: np.ndarray
    areas: np.ndarray
    per_class: np.ndarray
    pixels: np.ndarray | None = None
    unlabelled: float = 0.0


def count(found: Found, split: Split) -> SplitCounts:
    """Count what is kept of a split."""
    if split.file is None:
        return _count_maps(found, split)
    file = split.file
    kept = _kept(split)
    per_image = np.bincount(file.image_index[kept], minlength=len(split.images))[split.keep]
    return SplitCounts(
        split.title,
        int(split.keep.sum()),
        int((per_image == 0).sum()),
        int(kept.sum()),
        int((file.crowd & kept).sum()),
        int((file.masks[kept] != 0).sum()),
        file.sizes[split.keep],
        per_image,
        file.areas[kept],
        class_counts(found, split),
    )


def class_counts(found: Found, split: Split) -> np.ndarray:
    """How many objects, or maps, of each class a split has."""
    number = len(found.classes)
    if split.file is not None:
        categories = split.file.category_index[_kept(split)]
        return np.bincount(categories[(categories >= 0) & (categories < number)], minlength=number)[:number]
    pixels = _pixels(found, split)
    return (pixels[:, :number] > 0).sum(0) if len(pixels) else np.zeros(number, np.int64)


def _kept(split: Split) -> np.ndarray:
    return split.keep_objects & (split.file.image_index >= 0) & split.keep[split.file.image_index]


def _pixels(found: Found, split: Split) -> np.ndarray:
    """How many pixels each kept map has of each class, and of none: N x (K + 1)."""
    number = len(found.classes)
    table = found.table.colours if found.table.colours is not None else found.table.values
    pixels = np.zeros((len(split.censuses), number + 1), np.int64)
    for row, census in enumerate(split.censuses):
        for value, amount in census.items():
            value = (value,) * 3 if found.table.colours is not None and not isinstance(value, tuple) else value
            label = table.get(value, IGNORED)
            pixels[row, number if label == IGNORED else label] += amount
    return pixels[split.keep]


def _count_maps(found: Found, split: Split) -> SplitCounts:
    pixels = _pixels(found, split)
    classes = pixels[:, : len(found.classes)]
    total = max(int(pixels.sum()), 1)
    return SplitCounts(
        split.title,
        int(split.keep.sum()),
        int((classes.sum(1) == 0).sum()),
        int(split.keep.sum()),
        0,
        0,
        split.sizes[split.keep],
        (classes > 0).sum(1),
        np.zeros(0),
        (classes > 0).sum(0),
        classes.sum(0) / total,
        float(pixels[:, -1].sum() / total),
    )


def totals(found: Found) -> list[SplitCounts]:
    """The counts of all splits."""
    return [count(found, split) for split in found.splits]


__all__ = ['LARGE', 'SMALL', 'SplitCounts', 'class_counts', 'count', 'totals']
