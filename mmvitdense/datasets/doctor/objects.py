"""Objects read from a file an image, put together as COCO files in memory."""

from __future__ import annotations

import math
import os.path as osp
from collections.abc import Sequence
from typing import Any

from ..checks.coco_file import coco_file
from .files import SPLITS, Files, speaks_of_masks
from .found import Split
from .images import short_names, sizes_of
from .problems import Problems


class Objects:
    """Collects images and their objects, split by split.

    Args:
        files: Where they come from.
        problems: Takes images that cannot be read.
        paths: Every image that may be added; their sizes are read at once.

    Attributes:
        names: {name of a class: how many objects it has}, in the order in which they came.
    """

    def __init__(self, files: Files, problems: Problems, paths: Sequence[str] | None = None):
        self.names: dict[str, int] = {}
        self._files = files
        self._problems = problems
        self._sizes = sizes_of(files.images if paths is None else paths)
        self._images: dict[str, dict[str, tuple[int, int]]] = {}
        self._stated: dict[str, tuple[int, int]] = {}
        self._objects: dict[str, dict[str, list[tuple[str, list[float], Any, int]]]] = {}

    def image(self, path: str, split: str, stated: Sequence[Any] = ()) -> tuple[int, int] | None:
        """Add an image, once, and return its (width, height); None if it cannot be read.

        Args:
            path, split: The image.
            stated: (width, height) as its annotations say them; writers that do not know give 0, or nothing.
        """
        size = self._sizes.get(path, 'it is not there')
        if isinstance(size, str):
            if path not in self._objects.setdefault(split, {}):
                self._problems.add('unreadable image', f'{path}: {size}')
                self._objects[split][path] = []
            return None
        self._images.setdefault(split, {})[path] = size
        if (said := _whole_size(stated)) and said != size:
            self._stated[path] = said
        self._objects.setdefault(split, {}).setdefault(path, [])
        return size

    def add(
        self, path: str, split: str, name: str, box: Sequence[float], outline: Any = None, crowd: bool = False
    ) -> None:
        """Add an object to an image that was added.

        Args:
            path, split: The image.
            name: Its class.
            box: x, y, width, height in pixels.
            outline: COCO's 'segmentation', None for a box alone.
            crowd: Whether it is ignored in training and scoring.
        """
        self.names[name] = self.names.get(name, 0) + 1
        self._objects[split][path].append((name, [float(value) for value in box], outline, int(crowd)))

    def note_bare(self, notes: list[str]) -> None:
        """Note how many images no annotation file speaks of: whoever forgot some, or means empty ones, is to know."""
        added = {path for images in self._objects.values() for path in images}
        bare = [
            path
            for path in self._files.images
            if path not in added and not speaks_of_masks(osp.dirname(self._files.relative(path)))
        ]
        if bare:
            notes.append(f'{len(bare)} images have no annotations ({bare[0]} for one): they are left out.')

    def splits(self, classes: Sequence[str]) -> list[Split]:
        """The splits; objects of other classes are left out. Images of other sizes than stated are warned of."""
        for path, (width, height) in [*self._stated.items()][:1]:
            count, (real_width, real_height) = len(self._stated), self._sizes[path]
            self._problems.warn(
                f'{count} of {sum(map(len, self._images.values()))} images have another size than their annotations '
                f'state, {path} for one ({real_width}x{real_height}, stated {width}x{height}): objects lie elsewhere '
                'where images were resized or turned after they were labelled, or are shown turned by their EXIF.'
            )
        return [
            self._split(name, classes)
            for name in (*SPLITS, *sorted(set(self._images) - set(SPLITS)))
            if self._images.get(name)
        ]

    def _split(self, split: str, classes: Sequence[str]) -> Split:
        paths = sorted(self._images[split])
        names = short_names(paths, self._files)
        numbers = {name: number for number, name in enumerate(classes, start=1)}
        images, annotations = [], []
        for number, (path, name) in enumerate(zip(paths, names, strict=True), start=1):
            width, height = self._images[split][path]
            images.append({'id': number, 'file_name': name, 'width': width, 'height': height})
            for label, box, outline, crowd in self._objects[split][path]:
                if label in numbers:
                    annotations.append(_annotation(len(annotations) + 1, number, numbers[label], box, outline, crowd))
        categories = [{'id': number, 'name': name} for name, number in numbers.items()]
        title = f'the {split} split' if split else 'the data'
        data = {'images': images, 'annotations': annotations, 'categories': categories}

        def content(ids: set | None = None) -> list[dict]:
            return [item for item in annotations if ids is None or item['image_id'] in ids]

        return Split(split, paths, names, title, coco_file(title, data), content)


def _whole_size(stated: Sequence[Any]) -> tuple[int, int] | None:
    """(width, height) as whole numbers, None where nothing sensible is stated."""
    try:
        width, height = (int(float(side)) for side in stated)
    except (TypeError, ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def bounds(polygons: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    """The box (x, y, width, height) around polygons of x, y, x, y, ..."""
    x = [value for polygon in polygons for value in polygon[::2]]
    y = [value for polygon in polygons for value in polygon[1::2]]
    return min(x), min(y), max(x) - min(x), max(y) - min(y)


def polygon_area(polygon: Sequence[float]) -> float:
    """The area inside of a polygon of x, y, x, y, ..."""
    x, y = polygon[::2], polygon[1::2]
    return abs(math.fsum(x[i - 1] * y[i] - x[i] * y[i - 1] for i in range(len(x)))) / 2


def _annotation(number: int, image: int, category: int, box: list[float], outline: Any, crowd: int) -> dict:
    area = box[2] * box[3]
    if isinstance(outline, list):
        area = sum(polygon_area(polygon) for polygon in outline)
    elif isinstance(outline, dict):
        area = float(outline.pop('area', area))
    annotation = {
        'id': number,
        'image_id': image,
        'category_id': category,
        'bbox': [round(value, 3) for value in box],
        'area': round(area, 3),
        'iscrowd': crowd,
    }
    return annotation if outline is None else {**annotation, 'segmentation': outline}
