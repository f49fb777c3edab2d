"""What the pixels of label maps mean: numbers or colours, and the class of each."""

from __future__ import annotations

import csv
import os.path as osp
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..checks.label_maps import IGNORED, read_label_map
from ..checks.messages import DataError, listed
from .texts import read_json, read_text

BACKGROUND = 'background'
_UNLABELLED = {'void', 'ignore', 'ignored', 'unlabelled', 'unlabeled', '255', 'unknown'}
_COLOUR_NAMES = (
    'labelmap',
    'label_map',
    'label_colors',
    'label_colours',
    'class_dict',
    'colormap',
    'palette',
    'classes',
)
TABLES = (
    *_COLOUR_NAMES,
    '_classes',
    'labels',
    'label',
    'names',
    'label_names',
    'class_names',
    'dataset',
    'objectinfo150',
)
"""Names, without suffix, of files that say what the values of label maps mean."""


@dataclass(frozen=True)
class LabelTable:
    """Names of classes, and which values or colours of the maps stand for each.

    Attributes:
        names: In the order of the numbers that converted maps have.
        values: {value of a pixel: number of its class, 255 for unlabelled}.
        colours: {(red, green, blue): number of its class, 255 for unlabelled}; None where maps hold numbers.
    """

    names: tuple[str, ...]
    values: dict[int, int] = field(default_factory=dict)
    colours: dict[tuple[int, int, int], int] | None = None

    def read(self, path: str) -> np.ndarray:
        """Read a map as H x W uint8 of numbers of classes, 255 for unlabelled.

        Raises:
            DataError: It cannot be read, or holds what the table does not have.
        """
        pixels = raw_map(path)
        if self.colours is not None:
            return self._of_colours(pixels, path)
        if pixels.ndim == 3:
            raise DataError(f'{path} is a colour picture, and the other maps hold numbers: convert it.')
        present = np.unique(pixels)
        if unknown := [value for value in present.tolist() if value not in self.values]:
            raise DataError(f'{path} holds the values {listed(unknown)}, which no class has: add them to the table.')
        return np.array([self.values[value] for value in present.tolist()], np.uint8)[np.searchsorted(present, pixels)]

    def _of_colours(self, pixels: np.ndarray, path: str) -> np.ndarray:
        if pixels.ndim == 2:  # a picture in which only greys occur
            pixels = np.stack([pixels] * 3, axis=-1)
        codes = pixels.astype(np.int64) @ np.array([65536, 256, 1])
        present = np.unique(codes)
        table = {red * 65536 + green * 256 + blue: number for (red, green, blue), number in self.colours.items()}
        if unknown := [_colour(code) for code in present.tolist() if code not in table]:
            raise DataError(
                f'{path} has the colours {listed(unknown, 5)} (red, green, blue), which the table of classes does not '
                'have: add them, or where these are mixed colours of borders, write the maps again without smoothing.'
            )
        return np.array([table[code] for code in present.tolist()], np.uint8)[np.searchsorted(present, codes)]


def raw_map(path: str) -> np.ndarray:
    """The pixels of a label map: H x W numbers, or H x W x 3 colours where its channels differ.

    Raises:
        DataError: It cannot be read, or is no map of whole numbers.
    """
    _, pixels = read_label_map(path, 'label maps')
    if pixels.ndim == 3:
        pixels = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., 0]
        if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
            pixels = pixels[..., 0]
    if pixels.dtype.kind == 'f':
        if (pixels != np.round(pixels)).any():
            raise DataError(f'{path} holds numbers with fractions: write the numbers of the classes as whole numbers.')
        pixels = pixels.astype(np.int64)
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels


def find_table(paths: Iterable[str]) -> str | None:
    """The file that says what the values mean, by its name; of several the one that is known to have colours."""
    found = {}
    for path in paths:
        stem, suffix = osp.splitext(osp.basename(path).lower())
        if stem in TABLES and suffix in ('.txt', '.csv', '.json', '.names'):
            found.setdefault(stem, path)
    return next((found[stem] for stem in TABLES if stem in found), None)


def read_table(path: str) -> tuple[list[str], list[int | None], list[tuple[int, int, int]] | None]:
    """Read a table of classes: names, the number of each (None: its line), and colours where all have one.

    Known are lines `red green blue name` or `name red green blue` (CamVid), `name:red,green,blue:...` (CVAT),
    CSV with a head (`name,r,g,b`; `Pixel Value, Class`), names alone, `number name`, and JSON: a list of names,
    {number: name}, {name: number} or {name: [red, green, blue]}.

    Raises:
        DataError: It is none of these.
    """
    suffix = osp.splitext(path)[1].lower()
    rows = _json_rows(read_json(path), path) if suffix == '.json' else _text_rows(read_text(path), path)
    if not rows:
        raise DataError(f'{path} names no class: write one a line, such as "128 64 0 road" or "road".')
    names, numbers, colours = ([row[part] for row in rows] for part in range(3))
    if any(colours) and not all(colours):
        first = names[[bool(colour) for colour in colours].index(False)]
        raise DataError(f'{path} gives a colour for some classes and none for {first!r}: give each its colour.')
    return names, numbers, colours if all(colours) else None


def is_unlabelled(name: str) -> bool:
    """Whether a name says that a value stands for no class."""
    return name.strip().lower() in _UNLABELLED


def _colour(code: int) -> tuple[int, int, int]:
    return code >> 16, code >> 8 & 255, code & 255


def _row(name: str, number: int | None = None, colour: Sequence[int] | None = None) -> tuple:
    return name.strip(), number, tuple(colour) if colour else None


def _json_rows(data: object, path: str) -> list[tuple]:
    if isinstance(data, dict) and isinstance(data.get('classes'), (list, dict)):
        data = data['classes']
    if isinstance(data, list) and all(isinstance(item, str) for item in data):
        return [_row(name) for name in data]
    if isinstance(data, list) and all(isinstance(item, dict) and 'name' in item for item in data):
        return [
            _row(str(item['name']), item.get('id'), item.get('color') if isinstance(item.get('color'), list) else None)
            for item in data
        ]
    if isinstance(data, dict):
        if all(re.fullmatch(r'\d+', key) and isinstance(name, str) for key, name in data.items()):
            return [_row(name, int(key)) for key, name in data.items()]
        if all(type(number) is int for number in data.values()):
            return [_row(name, number) for name, number in data.items()]
        if all(isinstance(colour, list) and len(colour) == 3 for colour in data.values()):
            return [_row(name, None, colour) for name, colour in data.items()]
    raise DataError(f'{path} is no table of classes: write a list of names, or {{"name": [red, green, blue]}}.')


def _text_rows(text: str, path: str) -> list[tuple]:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith('#')]
    if path.lower().endswith('objectinfo150.txt'):
        return [_row(line.split('\t')[-1].partition(',')[0], number) for number, line in enumerate(lines[1:], start=1)]
    if path.lower().endswith('.csv') or (lines and re.match(r'(?i)(name|class|pixel)[^,]*,', lines[0])):
        return _csv_rows(lines)
    return [_line_row(line) for line in lines]


def _line_row(line: str) -> tuple:
    number = r'(\d{1,3})'
    colour = rf'{number}[\s,]+{number}[\s,]+{number}'
    if match := re.fullmatch(rf'{colour}[\s,:]+(.+)', line):
        return _row(match[4], None, [int(match[i]) for i in (1, 2, 3)])
    if match := re.fullmatch(rf'(.+?)[\s,:]+{colour}(:.*)?', line):
        return _row(match[1], None, [int(match[i]) for i in (2, 3, 4)])
    if match := re.fullmatch(r'(\d+)[\s,:]+(.+)', line):
        return _row(match[2], int(match[1]))
    return _row(line)


def _csv_rows(lines: list[str]) -> list[tuple]:
    table = [[cell.strip() for cell in row] for row in csv.reader(lines, skipinitialspace=True)]
    head = [cell.lower() for cell in table[0]]

    def column(*names: str) -> int | None:
        return next((head.index(name) for name in names if name in head), None)

    name = column('name', 'class', 'class_name', 'label')
    value = column('pixel value', 'value', 'id', 'index', 'number')
    channels = [column(*names) for names in (('r', 'red'), ('g', 'green'), ('b', 'blue'))]
    if name is None:
        return [_line_row(' '.join(row)) for row in table]
    rows = []
    for row in table[1:]:
        colour = None if None in channels else [int(float(row[place])) for place in channels]
        rows.append(_row(row[name], None if value is None else int(float(row[value])), colour))
    return rows


__all__ = ['BACKGROUND', 'IGNORED', 'LabelTable', 'find_table', 'is_unlabelled', 'raw_map', 'read_table']
