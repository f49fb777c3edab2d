"""COCO panoptic: a JSON file of segments a split, and a folder of pictures of them."""

from __future__ import annotations

import json
import os.path as osp
from collections.abc import Callable

import numpy as np
from PIL import Image

from ...checks.coco_file import CocoFile, read_coco
from ...checks.messages import DataError
from ..files import Files
from ..found import Found, Split
from ..images import short_names
from ..problems import Problems
from .coco import classes_of, holds, is_panoptic
from .contract import DataFormat, Options


def matches(files: Files) -> list[str]:
    """JSON files that list segments."""
    return [path for path in files.with_suffix('.json') if is_segment_list(path)]


def is_segment_list(path: str) -> bool:
    """Whether a JSON file lists images and their segments."""
    return is_panoptic(path) and holds(path, 'images', 'categories')


def read(files: Files, paths: list[str], options: Options) -> Found:
    """Read segments; things come before stuff, as heads number them."""
    return read_files('COCO panoptic', files, paths, lambda file: file, picture_name)


def read_files(
    name: str, files: Files, paths: list[str], adapt: Callable[[CocoFile], CocoFile], picture: Callable[[str], str]
) -> Found:
    """Read segments of files that may differ from COCO's.

    Args:
        name: What the data is called.
        files: All that is there.
        paths: The lists.
        adapt: Turns what a list says into names of images that are there, and things before stuff.
        picture: Gives the name of the picture of the segments of an image.
    """
    problems = Problems()
    splits = [split for path in paths if (split := _read_split(files, path, problems, adapt, picture)) is not None]
    classes = classes_of(splits, problems)
    flags = [bool(item.get('isthing', 0)) for item in splits[0].file.categories] if splits else []
    if flags != sorted(flags, reverse=True):
        problems.stop(
            f"{splits[0].origin}: heads expect things to be numbered before stuff: sort 'categories' so that those "
            "with 'isthing': 1 come first."
        )
    return Found(name, files.name, classes, splits, problems, things=sum(flags))


def segment_picture(split: Split, index: int) -> np.ndarray:
    """The numbers of the segments of an image: red + 256 green + 65536 blue, H x W."""
    path = osp.join(split.segments, split.pictures[index])
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert('RGB')).astype(np.int64) @ np.array([1, 256, 65536])
    except OSError as error:
        raise DataError(f'{path} cannot be read as a picture ({error}): replace it.') from None


def picture_name(file_name: str) -> str:
    """The picture of the segments of an image, as mmdet calls it."""
    return file_name.replace('.jpg', '.png')


def _read_split(
    files: Files,
    path: str,
    problems: Problems,
    adapt: Callable[[CocoFile], CocoFile],
    picture: Callable[[str], str],
) -> Split | None:
    try:
        file = adapt(read_coco(path))
    except DataError as error:
        problems.stop(error)
        return None
    split = files.split(path)
    images = [files.image(name, path, split) or '' for name in file.file_names]
    for name, image in zip(file.file_names, images, strict=True):
        if not image:
            problems.add('missing image', f'{name} of {path}')
    names = [name or osp.basename(said) for name, said in zip(short_names(images, files), file.file_names)]
    pictures = [picture(name) for name in file.file_names]
    folder = _folder_of(files, path, pictures[0], split)
    if folder is None:
        problems.stop(
            f'The pictures of the segments of {path} are not there, {pictures[0]} for one: put their folder beside the '
            'file.'
        )
    return Split(split, images, names, path, file, _content_of(path), segments=folder, pictures=pictures)


def _folder_of(files: Files, path: str, name: str, split: str) -> str | None:
    """The folder of the pictures: the one that is called like the file, or any that has the first picture."""
    beside = osp.splitext(path)[0]
    if osp.isfile(osp.join(beside, name)):
        return beside
    found = [image for image in files.images if image.endswith('/' + name) and 'panoptic' in files.relative(image)]
    found.sort(key=lambda image: files.split(image) != split)
    return found[0][: -len(name) - 1] if found else None


def _content_of(path: str) -> Callable[[set | None], list[dict]]:
    def content(ids: set | None = None) -> list[dict]:
        with open(path, encoding='utf-8') as file:
            items = json.load(file)['annotations']
        return [item for item in items if ids is None or item['image_id'] in ids]

    return content


FORMAT = DataFormat('coco-panoptic', 'COCO panoptic', matches, read, ('panoptic',))
