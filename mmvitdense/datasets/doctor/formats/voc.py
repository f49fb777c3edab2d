"""Pascal VOC: an XML file an image, with boxes (also as Roboflow, LabelImg and CVAT write them)."""

from __future__ import annotations

import os.path as osp
from collections.abc import Iterator
from xml.etree import ElementTree

from ...checks.messages import DataError
from ..files import Files
from ..found import Found
from ..lists import listed_splits, split_by_list
from ..objects import Objects
from ..problems import Problems
from ..texts import read_xml
from .contract import DataFormat, Options
from .labelme import classes_of_objects

_HEAD = 4096


def matches(files: Files) -> list[str]:
    """XML files whose root is `annotation`; broken and empty ones count where another is right."""
    paths = files.with_suffix('.xml')
    return paths if any(_begins(path) for path in paths) and not any(_is_cvat(path) for path in paths[:5]) else []


def read(files: Files, paths: list[str], options: Options) -> Found:
    """Read boxes; difficult objects are ignored in training and scoring, as in the challenge."""
    problems = Problems()
    objects = Objects(files, problems)
    listed = listed_splits(files)
    least, parsed, notes, difficult = 1.0, [], [], 0
    for path in paths:
        try:
            root = read_xml(path)
        except DataError as error:
            problems.add('unreadable annotation', str(error).partition(': ')[0])
            continue
        if root.tag != 'annotation':
            continue
        split = split_by_list(listed, path) or files.split(path)
        image = _image_of(files, path, root, split)
        if image is None:
            problems.add('missing image', f'{root.findtext("filename") or "(no name)"} of {path}')
            continue
        items = list(_objects(root, path, problems))
        least = min([least, *(min(box[:2]) for _, box, _ in items)])
        size = root.findtext('size/width'), root.findtext('size/height')
        parsed.append((image, split or files.split(image), items, size))
    # The challenge counts pixels from 1; whoever has a coordinate below counts from 0.
    shift = 1 if least >= 1 else 0
    for image, split, items, size in parsed:
        if objects.image(image, split, size) is None:
            continue
        for name, (left, top, right, bottom), hard in items:
            difficult += hard
            objects.add(
                image, split, name, (left - shift, top - shift, right - left + shift, bottom - top + shift), None, hard
            )
    _add_background(files, objects, {image for image, *_ in parsed}, {split for _, split, *_ in parsed}, listed)
    if difficult:
        notes.append(f'{difficult} difficult objects are ignored in training and scores (iscrowd 1).')
    return Found('Pascal VOC', files.name, *classes_of_objects(objects, options, notes), problems, notes)


def _objects(root: ElementTree.Element, path: str, problems: Problems) -> Iterator[tuple[str, list[float], bool]]:
    """Yield (class, [left, top, right, bottom], difficult) of each object."""
    for item in root.iter('object'):
        name = (item.findtext('name') or '').strip()
        box = item.find('bndbox')
        try:
            corners = [float(box.findtext(side)) for side in ('xmin', 'ymin', 'xmax', 'ymax')]
        except (AttributeError, TypeError, ValueError):
            problems.add('wrong line', f'the box of {name!r} in {path}')
            continue
        if not name or corners[2] < corners[0] or corners[3] < corners[1]:
            problems.add('empty box', f'{name!r} in {path} with corners {corners}')
            continue
        yield name, corners, (item.findtext('difficult') or '0').strip() == '1'


def _image_of(files: Files, path: str, root: ElementTree.Element, split: str) -> str | None:
    """The image of an annotation: by the name of the XML file, then by what it says."""
    stem = osp.splitext(osp.basename(path))[0]
    said = (root.findtext('filename') or '').strip()
    return (
        files.image_of_stem(stem, path, split)
        or files.image(said, path, split)
        or files.image_of_stem(osp.splitext(osp.basename(said.replace('\\', '/')))[0], path, split)
    )


def _add_background(
    files: Files, objects: Objects, annotated: set[str], splits: set[str], listed: dict[str, str]
) -> None:
    """Add the images without a file where lists name them: images without objects."""
    for path in files.images:
        split = split_by_list(listed, path)
        if path not in annotated and split and split in splits and 'Segmentation' not in files.relative(path):
            objects.image(path, split)


def _begins(path: str) -> bool:
    with open(path, 'rb') as file:
        head = file.read(_HEAD)
    text = head.replace(b'\0', b'')  # UTF-16
    return b'<annotation>' in text or b'<annotation ' in text


def _is_cvat(path: str) -> bool:
    with open(path, 'rb') as file:
        return b'<annotations>' in file.read(_HEAD)


FORMAT = DataFormat('voc', 'Pascal VOC', matches, read, ('detection',))
