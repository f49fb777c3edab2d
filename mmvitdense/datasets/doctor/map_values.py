"""What the values of label maps stand for, worked out from the values that occur and the names that are known."""

from __future__ import annotations

import os.path as osp
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ..checks.messages import DataError, listed
from .formats.contract import Options
from .images import each_of
from .label_table import BACKGROUND, IGNORED, LabelTable, find_table, is_unlabelled, raw_map, read_table
from .problems import Problems

Census = dict[int | tuple[int, int, int], int]
_MOST_COLOURS = 256
_MOST_CLASSES = 254


def census_of(paths: list[str]) -> dict[str, Census | str]:
    """Return {map: {value or colour: number of pixels}, or what is wrong with it}."""
    return each_of(paths, _census, 'Looking into the label maps')


def work_out_table(
    censuses: Iterable[Census], files: list[str], options: Options, problems: Problems, notes: list[str]
) -> LabelTable | None:
    """Say what each value is; None, with a problem noted, where that cannot be said.

    Args:
        censuses: Of all maps.
        files: All files of the data, among which a table is looked for.
        options: Names, table and background that were given.
        problems, notes: Take what is wrong, and what is taken for granted.
    """
    found: Counter = Counter()
    for census in censuses:
        found.update(census)
    path = options.table or (None if options.classes else find_table(files))
    try:
        names, numbers, colours = (
            read_table(path) if path else (list(options.classes), [None] * len(options.classes), None)
        )
    except DataError as error:
        problems.stop(error)
        return None
    if options.classes and not options.table and _in_another_order(options.classes, files, problems):
        return None
    if path and not options.table:
        notes.append(f'The classes are those of {path}.')
    if any(isinstance(value, tuple) for value in found) or _are_greys(found, colours):
        return _of_colours(found, names, colours, options, problems, notes)
    values = sorted(found)
    if not names:
        return _without_names(values, options, problems, notes)
    named = _numbered(values, names, numbers, problems, notes)
    return None if named is None else _table(values, named, options, notes)


def _in_another_order(classes: Sequence[str], files: list[str], problems: Problems) -> bool:
    """Whether a table of the data has the given names in another order, which would give maps to other classes."""
    path = find_table(files)
    try:
        names = read_table(path)[0] if path else []
    except DataError:  # whoever gives names does without the table
        return False
    if sorted(names) != sorted(classes) or list(names) == list(classes):
        return False
    problems.stop(
        f'--classes has the order {listed(classes)}, and {path} says that the values stand for {listed(names)}: leave '
        '--classes out, or change the file where it is wrong.'
    )
    return True


def _as_colour(value: int | tuple[int, int, int]) -> tuple[int, int, int]:
    """A colour picture in which only greys occur is read as numbers."""
    return value if isinstance(value, tuple) else (value, value, value)


def _are_greys(found: Counter, colours: list | None) -> bool:
    """Whether all values are greys of the table: its colours then say what they are, and not the order of its lines."""
    return bool(colours) and bool(found) and all(_as_colour(value) in set(colours) for value in found)


def _of_colours(
    found: Counter, names: list[str], colours: list | None, options: Options, problems: Problems, notes: list[str]
) -> LabelTable | None:
    seen = list(dict.fromkeys(_as_colour(value) for value, _ in found.most_common()))
    if len(seen) > _MOST_COLOURS:
        problems.stop(
            f'The label maps are pictures of {len(seen)} and more colours, so they were smoothed or saved as JPEG: '
            'write them again as PNG, without smoothing, with one colour a class.'
        )
    elif not colours:
        problems.stop(
            f'The label maps are colour pictures with the colours {listed(seen, 8)} (red, green, blue), and no table '
            'says which class each is: write a text file with a line a class, such as "128 64 128 road", and give it '
            'with --table FILE.'
        )
    elif unknown := [colour for colour in seen if colour not in set(colours)]:
        problems.stop(
            f'The label maps have the colours {listed(unknown, 5)} (red, green, blue), which the table of classes does '
            'not have: add a line for each, with the name void for what is no class.'
        )
    else:
        kept = [(name, colour) for name, colour in zip(names, colours) if not _is_left_out(name, options)]
        if any(name.lower() == BACKGROUND for name, _ in kept):
            notes.append('The background is a class: --background ignore leaves it out of training and scores.')
        numbers = {colour: number for number, (_, colour) in enumerate(kept)}
        return LabelTable(
            tuple(name for name, _ in kept), colours={colour: numbers.get(colour, IGNORED) for colour in colours}
        )
    return None


def _without_names(values: list[int], options: Options, problems: Problems, notes: list[str]) -> LabelTable | None:
    if values == [0, IGNORED]:
        notes.append(
            'The maps hold 0 and 255 alone: 255 is taken for the class "foreground", and 0 for the background.'
        )
        return _table(values, {0: BACKGROUND, IGNORED: 'foreground'}, options, [])
    classes = [value for value in values if value != IGNORED]
    if len(classes) > _MOST_CLASSES:
        problems.stop(
            f'The label maps hold {len(classes)} values, {classes[0]} to {classes[-1]}: these are photographs, maps '
            'saved as JPEG, or numbers of single objects; write the number of its class, 0 to 254, for each pixel, as '
            'PNG.'
        )
        return None
    problems.warn(
        f'No file names the classes of the label maps (values {listed(classes)}), so they are called by their values: '
        'give names with --classes, in the order of the values, or --table FILE.'
    )
    named = {value: BACKGROUND if value == 0 and len(classes) > 1 else f'class {value}' for value in classes}
    return _table(values, named, options, notes)


def _numbered(
    values: list[int], names: list[str], numbers: list[int | None], problems: Problems, notes: list[str]
) -> dict[int, str] | None:
    """Return {value: name}, or None where names and values do not fit."""
    if any(number is not None for number in numbers):
        named = {place if number is None else number: name for place, (name, number) in enumerate(zip(names, numbers))}
        beyond = [value for value in values if value not in named and value not in (0, IGNORED)]
    else:
        count = len(names)
        classes = [value for value in values if value != IGNORED]
        if values == [0, IGNORED] and count <= 2:
            notes.append('The maps hold 0 and 255 alone: 255 is taken for the last class.')
            return {0: names[0] if count == 2 else BACKGROUND, IGNORED: names[-1]}
        start = 1 if classes and classes[-1] == count else 0
        named = {place + start: name for place, name in enumerate(names)}
        beyond = [value for value in classes if value > count - 1 + start]
        if start:
            notes.append(f'The maps number the {count} classes from 1 to {count}; 0 is none of them.')
    if beyond:
        problems.stop(
            f'The label maps hold the values {listed(beyond)}, and the {len(names)} names leave only up to '
            f'{max(named, default=0)}: name every class, in the order of the values, or renumber the maps (255 is for '
            'pixels of no class).'
        )
        return None
    return named


def _table(values: list[int], named: dict[int, str], options: Options, notes: list[str]) -> LabelTable:
    named = dict(named)
    if 0 in values and 0 not in named:
        named[0] = BACKGROUND
    kept = [value for value in sorted(named) if not _is_left_out(named[value], options)]
    if 0 in kept and named[0].lower() == BACKGROUND:
        notes.append('0 is the class "background": --background ignore leaves it out of training and scores.')
    numbers = {value: number for number, value in enumerate(kept)}
    meant = {value: numbers.get(value, IGNORED) for value in {*values, *named}}
    if IGNORED not in named:
        meant[IGNORED] = IGNORED
    return LabelTable(tuple(named[value] for value in kept), meant)


def _is_left_out(name: str, options: Options) -> bool:
    return is_unlabelled(name) or (options.background == 'ignore' and name.strip().lower() == BACKGROUND)


def _census(path: str) -> Census | str:
    try:
        pixels = raw_map(path)
    except DataError as error:
        return str(error).removeprefix('label maps: ')
    if pixels.size == 0:
        return f'{path} has no pixels'
    if pixels.ndim == 2:
        if pixels.dtype == np.uint8:
            counts = np.bincount(pixels.ravel(), minlength=256)
            return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
        values, counts = np.unique(pixels, return_counts=True)
        return dict(zip(values.tolist(), counts.tolist()))
    codes, counts = np.unique(pixels.astype(np.int64) @ np.array([65536, 256, 1]), return_counts=True)
    colours = zip((codes >> 16).tolist(), (codes >> 8 & 255).tolist(), (codes & 255).tolist())
    return dict(zip(colours, counts.tolist()))


def is_lossy(path: str) -> bool:
    """Whether a map is stored in a way that changes its values."""
    return osp.splitext(path)[1].lower() in ('.jpg', '.jpeg')
