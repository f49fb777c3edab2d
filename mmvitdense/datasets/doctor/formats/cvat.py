"""CVAT for images 1.1: one XML file with the boxes, polygons, ellipses and masks of all images."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np

from mmvitdense.mask_codes import encode

from ...checks.messages import DataError
from ..files import SPLITS, Files, split_of
from ..found import Found
from ..objects import Objects, bounds
from ..problems import Problems
from ..texts import read_xml
from .contract import DataFormat, Options
from .labelme import circle, classes_of_objects

_HEAD = 4096
_SHAPES = ('box', 'polygon', 'ellipse', 'mask')
_LARGEST_MASK = 2**28


def matches(files: Files) -> list[str]:
    """XML files whose root is `annotations`."""
    found = []
    for path in files.with_suffix('.xml'):
        with open(path, 'rb') as file:
            head = file.read(_HEAD).replace(b'\0', b'')
        if b'<annotations>' in head:
            found.append(path)
    return found


def read(files: Files, paths: list[str], options: Options) -> Found:
    """Read shapes in the order of the labels of the task; tracks of videos have no images and are refused."""
    problems, notes, left_out, labels = Problems(), [], 0, []
    objects = Objects(files, problems)
    for path in paths:
        try:
            root = read_xml(path)
        except DataError as error:
            problems.stop(error)
            continue
        labels += [name for item in root.iter('label') if (name := (item.findtext('name') or '').strip())]
        if root.find('track') is not None:
            problems.stop(f'{path} has the tracks of a video: export the task as "CVAT for images".')
            continue
        for item in root.iter('image'):
            left_out += _read_image(files, item, path, objects, problems)
    if left_out:
        notes.append(f'{left_out} points, lines, cuboids and skeletons are left out.')
    chosen = Options(options.classes or tuple(dict.fromkeys(labels)))
    return Found('CVAT', files.name, *classes_of_objects(objects, chosen, notes), problems, notes)


def _read_image(files: Files, item: ElementTree.Element, path: str, objects: Objects, problems: Problems) -> int:
    """Add an image with its shapes; returns how many others it has."""
    name = item.get('name', '')
    subset = item.get('subset', '').lower()
    split = (split_of(f'{subset}/x') if subset not in SPLITS else subset) or split_of(name) or files.split(path)
    image = files.image(name, path, split)
    if image is None:
        problems.add('missing image', f'{name} of {path}')
        return 0
    split = split or files.split(image)
    size = objects.image(image, split, (item.get('width'), item.get('height')))
    if size is None:
        return 0
    others = 0
    for shape in item:
        if shape.tag not in _SHAPES:
            others += shape.tag in ('points', 'polyline', 'cuboid', 'skeleton')
            continue
        try:
            box, outline = _shape(shape, size)
        except (KeyError, TypeError, ValueError):
            problems.add('wrong line', f'a {shape.tag} of {name} in {path}')
            continue
        objects.add(image, split, shape.get('label', '').strip(), box, outline)
    return others


def _shape(shape: ElementTree.Element, size: tuple[int, int]) -> tuple[tuple, object]:
    """The box, and the outline in COCO's form: none of an upright box."""
    if shape.tag == 'box':
        left, top, right, bottom = (float(shape.attrib[side]) for side in ('xtl', 'ytl', 'xbr', 'ybr'))
        turn = float(shape.get('rotation', 0))
        if not turn:
            return (left, top, right - left, bottom - top), None
        polygon = _turned(left, top, right, bottom, turn)
    elif shape.tag == 'polygon':
        polygon = [float(value) for point in shape.attrib['points'].split(';') for value in point.split(',')]
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError('too few points')
    elif shape.tag == 'ellipse':
        x, y, rx, ry = (float(shape.attrib[name]) for name in ('cx', 'cy', 'rx', 'ry'))
        polygon = circle(x, y, rx, ry, float(shape.get('rotation', 0)))
    else:
        return _mask(shape, size)
    if not all(map(math.isfinite, polygon)):
        raise ValueError('not finite')
    polygon = [round(value, 3) for value in polygon]
    return bounds([polygon]), [polygon]


def _turned(left: float, top: float, right: float, bottom: float, degrees: float) -> list[float]:
    x, y, turn = (left + right) / 2, (top + bottom) / 2, math.radians(degrees)
    points: list[float] = []
    for px, py in ((left, top), (right, top), (right, bottom), (left, bottom)):
        dx, dy = px - x, py - y
        points += [x + dx * math.cos(turn) - dy * math.sin(turn), y + dx * math.sin(turn) + dy * math.cos(turn)]
    return points


def _mask(shape: ElementTree.Element, size: tuple[int, int]) -> tuple[tuple, dict]:
    """Runs of 0 and 1 along the rows of a part of the image."""
    left, top, width, height = (int(shape.attrib[name]) for name in ('left', 'top', 'width', 'height'))
    runs = np.array([int(run) for run in shape.attrib['rle'].split(',')], np.int64)
    inside = left >= 0 and top >= 0 and left + width <= size[0] and top + height <= size[1]
    if not inside or (runs < 0).any() or runs.sum() != width * height or width * height > _LARGEST_MASK:
        raise ValueError('no mask of its box')
    pixels = np.repeat(np.arange(len(runs)) % 2, runs).reshape(height, width).astype(bool)
    return (left, top, width, height), {**encode(pixels, (size[1], size[0]), left, top), 'area': int(pixels.sum())}


FORMAT = DataFormat('cvat', 'CVAT', matches, read, ('instance', 'detection'))
