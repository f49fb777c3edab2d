"""Panoptic Cityscapes, as createPanopticImgs.py of cityscapesScripts writes it."""

from __future__ import annotations

import os.path as osp
from dataclasses import replace

import numpy as np

from ...checks.coco_file import CocoFile
from ..files import Files
from ..found import Found
from .coco import mentions
from .coco_panoptic import is_segment_list, read_files
from .contract import DataFormat, Options

# The tool makes all names from that of aachen_000000_000019_gtFine_instanceIds.png: no image is called as listed.
_LISTED, _IMAGE, _PICTURE = '_gtFine_leftImg8bit.png', '_leftImg8bit.png', '_gtFine_panoptic.png'
_BY_TRAINING_NUMBER = '_trainId'


def matches(files: Files) -> list[str]:
    """The lists; of the two that the tool can write of one split, the one with the numbers of labels.

    That of the test set, whose labels are not published, has no segments and is passed by.
    """
    paths = [path for path in files.with_suffix('.json') if _is_cityscapes(path) and mentions(path, '"category_id"')]
    usual = {path for path in paths if not osp.splitext(path)[0].endswith(_BY_TRAINING_NUMBER)}
    return [
        path for path in paths if path in usual or path.replace(f'{_BY_TRAINING_NUMBER}.json', '.json') not in usual
    ]


def _is_cityscapes(path: str) -> bool:
    """Whether a JSON file lists segments of Cityscapes."""
    return is_segment_list(path) and mentions(path, _LISTED + '"')


def read(files: Files, paths: list[str], options: Options) -> Found:
    """Read segments under the names of the files; classes come in the order of heads, things first."""
    return read_files('Cityscapes panoptic', files, paths, _as_it_lies, _picture_of)


def _as_it_lies(file: CocoFile) -> CocoFile:
    order = sorted(range(len(file.categories)), key=lambda place: not file.categories[place].get('isthing', 0))
    # The index is -1 where an annotation has no category: the last.
    places = np.append(np.argsort(order), -1)
    return replace(
        file,
        categories=[file.categories[place] for place in order],
        category_index=places[file.category_index],
        file_names=[
            name.removesuffix(_LISTED) + _IMAGE if name.endswith(_LISTED) else name for name in file.file_names
        ],
    )


def _picture_of(file_name: str) -> str:
    return file_name.removesuffix(_IMAGE) + _PICTURE


FORMAT = DataFormat('cityscapes-panoptic', 'Cityscapes panoptic', matches, read, ('panoptic',))
