"""LabelMe: a JSON file an image, with polygons, rectangles and circles."""

from __future__ import annotations

import base64
import math
import os.path as osp
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mmvitdense.mask_codes import area, box, encode

from ...checks.messages import DataError
from ..files import Files
from ..found import Found
from ..objects import Objects, bounds
from ..problems import Problems
from ..texts import read_json
from .coco import holds
from .contract import DataFormat, Options

_CORNERS = 24
"""Of a circle as a polygon."""


def matches(files: Files) -> list[str]:
    """JSON files with shapes."""
    return [path for path in files.with_suffix('.json') if holds(path, 'shapes', 'imagePath')]


def read(files: Files, paths: list[str], options: Options) -> Found:
    """Read shapes; points and lines have no area and are left out with a note."""
    problems, notes, left_out = Problems(), [], 0
    objects = Objects(files, problems)
    for path in paths:
        try:
            content = read_json(path)
        except DataError as error:
            problems.add('unreadable annotation', str(error).partition(': ')[0])
            continue
        split = files.split(path)
        stem = osp.splitext(osp.basename(path))[0]
        image = files.image(str(content['imagePath']), path, split) or files.image_of_stem(stem, path, split)
        if image is None:
            problems.add('missing image', f'{content["imagePath"]} of {path}')
            continue
        split = split or files.split(image)
        size = objects.image(image, split, (content.get('imageWidth'), content.get('imageHeight')))
        if size is None:
            continue
        for name, shape in _shapes(content.get('shapes'), path, size, problems):
            if shape is None:
                left_out += 1
            else:
                objects.add(image, split, name, *shape)
    if left_out:
        notes.append(f'{left_out} points and lines have no area: they are left out.')
    return Found('LabelMe', files.name, *classes_of_objects(objects, options, notes), problems, notes)


def classes_of_objects(objects: Objects, options: Options, notes: list[str]) -> tuple:
    """The classes, those given or those that occur in alphabetical order, and the splits with the objects of these."""
    classes = options.classes or tuple(sorted(objects.names))
    if foreign := sorted(name for name in objects.names if name not in classes):
        notes.append(f'Objects of {", ".join(map(repr, foreign))} are left out, as --classes does not name them.')
    objects.note_bare(notes)
    return classes, objects.splits(classes)


def circle(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0.0) -> list[float]:
    """An ellipse as a polygon of x, y, x, y, ..."""
    turn = math.radians(degrees)
    points: list[float] = []
    for corner in range(_CORNERS):
        angle = 2 * math.pi * corner / _CORNERS
        dx, dy = radius_x * math.cos(angle), radius_y * math.sin(angle)
        points += [x + dx * math.cos(turn) - dy * math.sin(turn), y + dx * math.sin(turn) + dy * math.cos(turn)]
    return points


def _shapes(
    shapes: Sequence[dict] | None, path: str, size: tuple[int, int], problems: Problems
) -> Iterator[tuple[str, tuple[Sequence[float], Any] | None]]:
    """Yield (class, (box, outline or None of a box alone), or None where it has no area) of each shape."""
    for number, shape in enumerate(shapes or (), start=1):
        try:
            points = [(float(x), float(y)) for x, y in shape['points']]
            kind = shape.get('shape_type') or 'polygon'
            name = '' if shape['label'] is None else str(shape['label']).strip()
            if not name:
                raise ValueError('no label')
            if not all(math.isfinite(value) for point in points for value in point):
                raise ValueError('not finite')
            found = _mask(shape, points, size) if kind == 'mask' else _outlined(kind, points)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            problems.add('wrong line', f'shape {number} of {path}')
            continue
        yield name, found


def _outlined(kind: str, points: list[tuple[float, float]]) -> tuple[Sequence[float], Any] | None:
    polygon = _polygon(kind, points)
    return polygon and (bounds([polygon]), None if kind == 'rectangle' else [polygon])


def _mask(shape: dict, points: list[tuple[float, float]], size: tuple[int, int]) -> tuple[Sequence[float], Any]:
    """An image file in base64 of the part between two corners, both of which belong to it."""
    import cv2

    content = np.frombuffer(base64.b64decode(shape['mask'], validate=True), np.uint8)
    pixels = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    (left, top), _ = ([round(value) for value in point] for point in points)
    if pixels is None or not pixels.any():
        raise ValueError('no mask')
    height, width = pixels.shape
    if left < 0 or top < 0 or left + width > size[0] or top + height > size[1]:
        raise ValueError('a mask outside of its image')
    code = encode(pixels > 0, (size[1], size[0]), left, top)
    return box(code), {**code, 'area': area(code)}


def _polygon(kind: str, points: list[tuple[float, float]]) -> list[float] | None:
    if kind == 'rectangle':
        x, y = zip(*points)
        left, right, top, bottom = min(x), max(x), min(y), max(y)
        return [left, top, right, top, right, bottom, left, bottom]
    if kind == 'circle':
        (x, y), (edge_x, edge_y) = points
        radius = math.dist((x, y), (edge_x, edge_y))
        return circle(x, y, radius, radius)
    if kind == 'polygon' and len(points) > 2:
        return [value for point in points for value in point]
    return None


FORMAT = DataFormat('labelme', 'LabelMe', matches, read, ('instance', 'detection'))
