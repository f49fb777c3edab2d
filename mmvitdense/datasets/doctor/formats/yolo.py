"""YOLO: a text file an image, with a line an object: class, then box or polygon in parts of the image."""

from __future__ import annotations

import math
import os
import os.path as osp
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PureWindowsPath
from typing import Any

from ...checks.messages import DataError, listed
from ..files import SPLITS, Files, split_of
from ..found import Found
from ..objects import Objects, bounds
from ..problems import Problems
from ..texts import read_lines, read_yaml
from .contract import DataFormat, Options

_NAME_FILES = ('obj.names', 'classes.txt', 'classes.names', 'names.txt', 'coco.names', 'predefined_classes.txt')
_LISTS = ('train.txt', 'val.txt', 'valid.txt', 'test.txt', *_NAME_FILES, 'notes.txt', 'readme.txt', 'requirements.txt')
_LOOKED_AT = 20
_ROUNDING = 0.01
"""How far outside of 0 to 1 a number may lie: writers round, and boxes reach over the border."""
_ROW = re.compile(r'\d+(\.0*)?(\s+[-+]?[\d.]+(e[-+]?\d+)?){4,}')


def matches(files: Files) -> list[str]:
    """A YAML file with `names`, or text files of rows of numbers beside images."""
    found = [path for path in files.with_suffix('.yaml', '.yml') if _is_description(path)]
    labels = [path for path in files.with_suffix('.txt') if osp.basename(path).lower() not in _LISTS]
    of_images = [path for path in labels if 'ImageSets' not in path]
    rows = [line for path in of_images[:: max(1, len(of_images) // _LOOKED_AT)] for line in _some_lines(path)]
    if found and of_images and not rows:  # a description, and labels all of which are empty
        return found + of_images
    return found + of_images if rows and sum(bool(_ROW.fullmatch(line)) for line in rows) > len(rows) / 2 else []


def read(files: Files, paths: list[str], options: Options) -> Found:
    """Read boxes, and polygons where every object has one."""
    problems, notes = Problems(), []
    descriptions = [path for path in paths if not path.lower().endswith('.txt')]
    description = _description(descriptions, problems)
    names = _names(description.get('names'), descriptions) or _names_in_file(files)
    if descriptions and names:
        _compare_names(names, descriptions[0], files, problems)
    names, classes = _with_given(names, options.classes, problems)
    labels = [path for path in paths if path.lower().endswith('.txt')]
    splits = dict(_images_of_lists(files, description, descriptions, problems))
    objects = Objects(files, problems)
    rows: dict[str, list[list[float]]] = {}
    for path in labels:
        image = _image_of(files, path)
        if image is None:
            problems.add('missing image', f'that of {path}')
            continue
        rows[image] = list(_rows(path, problems))
    used = sorted({int(row[0]) for items in rows.values() for row in items})
    names = _check_names(names, used, problems, notes)
    if foreign := [name for name in names if name not in (classes or names)]:
        notes.append(f'Objects of {listed(foreign)} are left out, as --classes does not name them.')
    has_keypoints = 'kpt_shape' in description
    for image in sorted({*rows, *splits}):
        split = splits.get(image) or files.split(image)
        if (size := objects.image(image, split)) is None:
            continue
        for row in rows.get(image, ()):
            if int(row[0]) < len(names):
                _add(objects, image, split, names[int(row[0])], row[1:5] if has_keypoints else row[1:], size)
    if has_keypoints:
        notes.append('Keypoints are left out: boxes alone are read.')
    bare = len(files.images) - len({*rows, *splits})
    if bare > 0:
        notes.append(f'{bare} images have no text file and no list names them: they are left out.')
    return Found('YOLO', files.name, tuple(classes or names), objects.splits(classes or names), problems, notes)


def _add(objects: Objects, image: str, split: str, name: str, numbers: list[float], size: tuple[int, int]) -> None:
    width, height = size
    if len(numbers) in (4, 5):  # a fifth is a score
        x, y, w, h = numbers[:4]
        objects.add(image, split, name, ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height))
        return
    polygon = [round(value * side, 3) for value, side in zip(numbers, (width, height) * (len(numbers) // 2))]
    objects.add(image, split, name, bounds([polygon]), [polygon])


def _rows(path: str, problems: Problems) -> Iterator[list[float]]:
    for number, line in enumerate(_lines(path, problems), start=1):
        if not line:
            continue
        place = f'line {number} of {path} ({line[:60]!r})'
        try:
            row = [float(part) for part in line.replace(',', ' ').split()]
        except ValueError:
            problems.add('wrong line', place)
            continue
        whole = len(row) in (5, 6) or (len(row) >= 7 and len(row) % 2)
        if not whole or not all(map(math.isfinite, row)) or row[0] < 0 or row[0] != int(row[0]):
            problems.add('wrong line', place)
        elif max(row[1:5]) > 1 + _ROUNDING and max(row[1:]) > 2:
            problems.add('box off image', f'{place}, whose numbers are not parts of the image from 0 to 1')
        elif len(row) in (5, 6) and min(row[3:5]) <= 0:
            problems.add('empty box', place)
        else:
            yield row


def _lines(path: str, problems: Problems) -> list[str]:
    try:
        return read_lines(path)
    except DataError as error:
        problems.add('unreadable annotation', str(error).partition(': ')[0])
        return []


def _with_given(names: list[str], given: Sequence[str], problems: Problems) -> tuple[Sequence[str], Sequence[str]]:
    """What the numbers stand for, and the classes to learn in their order: all where none are given.

    Names that the data has as well choose and order its classes; others are names for its numbers.
    """
    known = [str(name) for name in names]
    if not given or not known or not set(given) & set(known):
        return given or names, ()
    if foreign := [name for name in given if name not in known]:
        problems.stop(
            f'--classes names {listed(foreign)}, and the data {listed(known)}: give names of the data alone, to choose '
            'classes and their order, or others alone, which rename its classes in the order of their numbers.'
        )
        return known, ()
    return known, given


def _check_names(names: list[str], used: list[int], problems: Problems, notes: list[str]) -> list[str]:
    """Return the names, made up where there are none; note classes beyond them."""
    names = [str(name) for name in names]
    if not names and used:
        notes.append('No file names the classes, so they are called by their numbers: give names with --classes.')
        return [f'class {number}' for number in range(used[-1] + 1)]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        problems.stop(f'The names of the classes have {listed(repeated)} more than once: name each class once.')
    if used and used[-1] >= len(names):
        beyond = [number for number in used if number >= len(names)]
        shifted = used[0] == 1 and used[-1] == len(names)
        hint = (
            ': all of them seem to be 1 too high, as YOLO counts classes from 0: subtract 1 from the first number of '
            'each line'
            if shifted
            else ': correct the numbers, or name every class (names in data.yaml, classes.txt or --classes)'
        )
        problems.stop(
            f'The labels use the classes {listed(beyond)}, and {len(names)} names leave only 0 to {len(names) - 1} '
            f'({listed(names)}){hint}.'
        )
    return names


def _image_of(files: Files, path: str) -> str | None:
    """The image of a text file, in the folder `images` in the place of `labels` first."""
    return files.image(osp.splitext(_beside(path))[0] + '.jpg', path) or files.image_of_stem(
        osp.splitext(osp.basename(path))[0], _beside(path), files.split(path)
    )


def _beside(path: str) -> str:
    head, found, tail = path.rpartition('/labels/')
    return f'{head}/images/{tail}' if found else path


def _is_description(path: str) -> bool:
    try:
        content = read_yaml(path)
    except DataError:
        return osp.basename(path).lower() in ('data.yaml', 'data.yml')
    return isinstance(content, dict) and 'names' in content and bool({'train', 'val', 'nc', 'path'} & set(content))


def _description(paths: list[str], problems: Problems) -> dict[str, Any]:
    if len(paths) > 1:
        own = [path for path in paths if osp.basename(path).lower() in ('data.yaml', 'data.yml', 'dataset.yaml')]
        paths[:] = own or paths
    if not paths:
        return {}
    try:
        content = read_yaml(paths[0])
    except DataError as error:
        problems.stop(error)
        return {}
    number = content.get('nc')
    names = content.get('names')
    if isinstance(number, int) and isinstance(names, (list, dict)) and number != len(names):
        problems.stop(
            f"{paths[0]}: 'nc' is {number}, and 'names' has {len(names)}: name each class once, and count them."
        )
    return content


def _names(names: Any, paths: list[str]) -> list[str]:
    if names is None:
        return []
    if isinstance(names, dict):
        numbers = list(names)
        if not all(re.fullmatch(r'\d{1,6}', str(number)) for number in numbers):
            raise DataError(f"{paths[0]}: the keys of 'names' must be the numbers of classes, got {listed(numbers)}.")
        names = {int(number): name for number, name in names.items()}
        numbers = list(names)
        return [str(names.get(number, f'class {number}')) for number in range(max(numbers, default=-1) + 1)]
    if isinstance(names, list) and all(isinstance(name, (str, int, float, bool)) for name in names):
        # YAML takes the names yes, no, on and off for true and false.
        return [str(name) for name in names]
    raise DataError(f"{paths[0]}: 'names' must be a list of names, or number: name, one a line.")


def _names_in_file(files: Files) -> list[str]:
    by_name = {osp.basename(path).lower(): path for path in reversed(files.all)}
    path = next((by_name[name] for name in _NAME_FILES if name in by_name), None)
    return [line for line in read_lines(path) if line] if path else []


def _compare_names(names: list[str], description: str, files: Files, problems: Problems) -> None:
    """Stop at a list of the names in another order than the description has, by which numbers mean other classes; warn
    of one with other names, as programs leave theirs.
    """
    beside = _names_in_file(files)
    said = f'{description} names the classes {listed(names)}, and a list of names beside it {listed(beside)}'
    if beside != names and sorted(beside) == sorted(names):
        problems.stop(f'{said}, so that a number means two classes: remove the list, or correct the one that is wrong.')
    elif beside and beside != names:
        problems.warn(f'{said}: the first is taken.')


def _images_of_lists(
    files: Files, description: dict[str, Any], paths: list[str], problems: Problems
) -> Iterator[tuple[str, str]]:
    """Yield (image, split) of what `train`, `val` and `test` of a description name."""
    for split in SPLITS:
        value = description.get(split) or (description.get('valid') if split == 'val' else None)
        for place in [value] if isinstance(value, str) else value or ():
            yield from (
                (image, split) for image in _images_at(files, str(place), split, description, paths[0], problems)
            )
    if not description:
        for path in files.with_suffix('.txt'):
            if osp.basename(path).lower() in ('train.txt', 'val.txt', 'valid.txt', 'test.txt'):
                named = _images_in_list(files, path, problems)
                yield from ((image, split_of(osp.basename(path))) for image in named)


def _images_at(files: Files, place: str, split: str, description: dict, yaml: str, problems: Problems) -> list[str]:
    root = str(description.get('path') or '')
    found = _existing(files, place, root, osp.dirname(yaml))
    if found is None:
        # Exports name a test folder whether there is one or not.
        if outside := _outside(place, root, osp.dirname(yaml)):
            problems.stop(
                f'{yaml} names {place!r}, which is {outside}, outside of what was given: give both '
                f'({shlex.join(["mmvitdense", "data", *files.roots, outside])} ...).'
            )
        elif split != 'test':
            problems.stop(
                f'{yaml} names {place!r}{f" below {root!r}" if root else ""}, which is not there: correct the folder, '
                'relative to that of the file.'
            )
        return []
    if osp.isfile(found):
        return _images_in_list(files, found, problems)
    return [path for path in files.images if path.startswith(osp.join(found, ''))]


def _existing(files: Files, place: str, root: str, folder: str) -> str | None:
    """The folder or file that is meant, which may have been written on another machine."""
    parts = [
        part for part in PureWindowsPath(place).parts if part not in ('.', '..') and not part.endswith((':\\', '\\'))
    ]
    places = [osp.join(folder, root, place), osp.join(folder, place)]
    # Of a path of another machine the end is right: /content/data/train/images is below the folder as train/images.
    places += [osp.join(base, *parts[start:]) for base in (folder, *files.roots) for start in range(len(parts))]
    allowed = [osp.join(base, '') for base in files.roots]
    existing = (osp.normpath(candidate) for candidate in places if osp.exists(candidate))
    inside = (path for path in existing if any(osp.join(path, '').startswith(base) for base in allowed))
    return next(inside, None) or _folder_ending_in(files, parts)


def _outside(place: str, root: str, folder: str) -> str | None:
    """The folder that is meant where it is on this machine, with the labels beside it."""
    found = next((path for path in (osp.join(folder, root, place), osp.join(folder, place)) if osp.isdir(path)), None)
    if found is None:
        return None
    head, images, _ = osp.join(osp.normpath(found), '').rpartition('/images/')
    return head if images else osp.normpath(found)


def _folder_ending_in(files: Files, parts: list[str]) -> str | None:
    """The one folder with images below whose path ends so."""
    folders = {osp.dirname(path) for path in files.images}
    folders |= {osp.dirname(folder) for folder in folders}
    found = [folder for folder in folders if parts and folder.split(os.sep)[-len(parts) :] == parts]
    return found[0] if len(found) == 1 else None


def _images_in_list(files: Files, path: str, problems: Problems) -> list[str]:
    found = []
    for line in read_lines(path):
        if not line:
            continue
        image = files.image(line, path, split_of(osp.basename(path)))
        if image is None:
            problems.add('missing image', f'{line} of {path}')
        else:
            found.append(image)
    return found


def _some_lines(path: str) -> list[str]:
    try:
        return [line for line in read_lines(path)[:3] if line]
    except DataError:
        return []


FORMAT = DataFormat('yolo', 'YOLO', matches, read, ('instance', 'detection'))
