"""Text files that list the images of a split, as VOC's ImageSets and many sets of label maps have them."""

from __future__ import annotations

import os.path as osp

from ..checks.messages import DataError
from .files import Files, plain, split_of
from .texts import read_lines

# Other lists speak of a class (cat_train.txt) or of several splits at once (trainval.txt).
_NAMES = ('train', 'training', 'val', 'valid', 'validation', 'test')


def listed_splits(files: Files) -> dict[str, str]:
    """{stem of an image: its split} of lists called train.txt, val.txt and test.txt, with or without suffixes."""
    found: dict[str, str] = {}
    for path in files.all:
        stem, suffix = osp.splitext(osp.basename(path).lower())
        if suffix != '.txt' or stem not in _NAMES:
            continue
        try:
            lines = read_lines(path)
        except DataError:
            continue
        for line in lines:
            if line:
                name = line.split()[0].replace('\\', '/')
                found[plain(_without_suffix(osp.basename(name)))] = split_of(stem)
    return found


def split_by_list(listed: dict[str, str], path: str) -> str:
    """The split in which a list names an image, '' where none does."""
    return listed.get(plain(osp.splitext(osp.basename(path))[0]), '')


def _without_suffix(name: str) -> str:
    stem, suffix = osp.splitext(name)
    # A name such as 2007.0001 has no suffix.
    return stem if suffix[1:].isalpha() else name
