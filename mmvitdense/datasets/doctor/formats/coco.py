"""COCO and LVIS: one JSON file a split with the boxes and masks of all images (also as Roboflow writes it)."""

from __future__ import annotations

import json
import mmap
import os.path as osp
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from ...checks.coco_file import CocoFile, read_coco
from ...checks.messages import DataError, listed
from ..files import Files
from ..found import Found, Split
from ..images import short_names
from ..problems import Problems
from .contract import DataFormat, Options


def matches(files: Files) -> list[str]:
    """JSON files with images, annotations and categories, without those of keypoints where there are others."""
    paths = files.with_suffix('.json')
    found = [path for path in paths if holds(path, 'images', 'categories') and not is_panoptic(path)]
    found = [path for path in found if not holds(path, 'keypoints')] or found
    # What was cut off, or is empty, beside others is named when it is read.
    return found + [path for path in paths if path not in found and _is_cut(path) and (found or holds(path, 'images'))]


def read(files: Files, paths: list[str], options: Options) -> Found:
    """Read boxes and masks. Classes have the order of the file, by which mmdet numbers them."""
    problems = Problems()
    splits = [split for path in paths if (split := read_split(files, path, problems)) is not None]
    several = [name for name, count in Counter(split.name for split in splits).items() if count > 1]
    if several:
        mine = [split.origin for split in splits if split.name == several[0]]
        problems.stop(
            f'{len(mine)} files hold {f"the split {several[0]!r}" if several[0] else "images of no split"}, '
            f'{listed(mine, 3)}: give the file to use, one a split.'
        )
    classes = classes_of(splits, problems)
    if options.classes and options.classes != classes:
        problems.stop(
            f'--classes names {listed(options.classes)}, and the file {listed(classes)}: mmdet numbers classes in the '
            "order of the file, so change its 'categories'."
        )
    name = 'LVIS' if any(holds(path, 'neg_category_ids') for path in paths) else 'COCO'
    return Found(name, files.name, classes, splits, problems)


def read_split(files: Files, path: str, problems: Problems) -> Split | None:
    """Read one file; None where it is not as it should be, which is noted."""
    try:
        file = read_coco(path)
    except DataError as error:
        problems.stop(error)
        return None
    split = files.split(path)
    images = [files.image(name, path, split) or '' for name in file.file_names]
    for name, image in zip(file.file_names, images, strict=True):
        if not image:
            problems.add('missing image', f'{name} of {path}')
    names = [name or osp.basename(said) for name, said in zip(short_names(images, files), file.file_names)]
    return Split(split, images, names, path, file, content_of(path, file))


def content_of(path: str, file: CocoFile) -> Callable[[set | None], list[dict]]:
    """Reads the annotations of some images, or all of them, again: they may not fit into memory beside all else."""
    del file

    def content(ids: set | None = None) -> list[dict]:
        def wanted(item: dict) -> Any:
            return item if ids is None or 'image_id' not in item or item['image_id'] in ids else None

        with open(path, encoding='utf-8') as lines:
            data = json.load(lines, object_hook=wanted)
        return [item for item in data['annotations'] if item is not None]

    return content


def holds(path: str, *keys: str) -> bool:
    """Whether a JSON file has all of these keys somewhere, without reading it as JSON."""
    if not osp.getsize(path):
        return False
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return all(re.search(rb'"%s"\s*:' % key.encode(), content) for key in keys)


def mentions(path: str, text: str) -> bool:
    """Whether a file has this text somewhere."""
    if not osp.getsize(path):
        return False
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text.encode()) >= 0


def _is_cut(path: str) -> bool:
    """Whether a JSON file is empty or does not end as one."""
    with open(path, 'rb') as file:
        file.seek(max(0, osp.getsize(path) - 64))
        return not file.read().rstrip().endswith((b'}', b']'))


def is_panoptic(path: str) -> bool:
    """Whether a JSON file lists panoptic segments."""
    return holds(path, 'segments_info')


def classes_of(splits: list[Split], problems: Problems) -> tuple[str, ...]:
    """The classes that all files name in the same order, which is noted where they do not."""
    if not splits:
        return ()
    names = [tuple(item['name'] for item in split.file.categories) for split in splits]
    for split, others in zip(splits[1:], names[1:], strict=True):
        if others != names[0]:
            problems.stop(
                f'{split.origin} and {splits[0].origin} do not have the same classes in the same order '
                f'({listed(others)} and {listed(names[0])}), by which they are numbered: sort '
                "their 'categories' alike."
            )
    return names[0]


FORMAT = DataFormat('coco', 'COCO', matches, read, ('instance', 'detection'))
