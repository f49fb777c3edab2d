"""ADE20K as published for the scene parsing challenge: 0 of the maps is no class."""

from __future__ import annotations

import os.path as osp

from ..files import Files
from ..found import Found
from ..map_values import work_out_table
from ..pairs import find_pairs
from .contract import DataFormat, Options
from .label_maps import read_pairs

_FILES = ('objectinfo150.txt', 'scenecategories.txt')


def matches(files: Files) -> list[str]:
    """Label maps beside one of the lists that come with ADE20K."""
    if not any(osp.basename(path).lower() in _FILES for path in files.all):
        return []
    return [label_map for _, label_map in find_pairs(files)[0]]


def read(files: Files, paths: list[str], options: Options) -> Found:
    """Read images and maps, with the 150 names where the data has no list of them."""
    from mmseg.datasets import ADE20KDataset

    listed = any(osp.basename(path).lower() == _FILES[0] for path in files.all)
    names = options.classes or (() if listed or options.table else ADE20KDataset.METAINFO['classes'])
    chosen = Options(tuple(names), options.table, 'ignore')
    return read_pairs(
        files,
        'ADE20K',
        *find_pairs(files),
        lambda censuses, problems, notes: work_out_table([*censuses, {150: 0}], files.all, chosen, problems, notes),
    )


FORMAT = DataFormat('ade20k', 'ADE20K', matches, read, ('semantic',))
