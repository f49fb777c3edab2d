"""Data that can be trained on as it lies."""

from __future__ import annotations

import os
import os.path as osp
from dataclasses import fields

import numpy as np

from ..checks.messages import DataError
from .converting import RECORD, Layout, median_sides
from .found import Found, Split
from .splitting import Parts
from .texts import read_json

_KINDS = {'root': str, 'task': str, 'classes': list, 'splits': dict, 'images': dict, 'suffix': str}


def layout_in_place(found: Found, parts: Parts, task: str, root: str) -> Layout | None:
    """The layout of data that mmdet and mmseg read as it is, None where it has to be converted first.

    That is what this package converted, and COCO's files whose images lie below one folder a split, with nothing left
    out and no other split than theirs.

    Args:
        found: The data set.
        parts: Which image is in which split.
        task: What is to be learnt.
        root: The folder as it was given.
    """
    if not osp.isdir(root):
        return None
    if osp.isfile(osp.join(root, RECORD)) and (layout := _converted(root, task)):
        return layout
    if found.format not in ('COCO', 'COCO panoptic'):
        return None
    splits = {name: _split_in_place(images, root) for name, images in parts.items()}
    if not all(splits.values()):
        return None
    sizes = np.concatenate([images[0][0].file.sizes for images in parts.values()])
    areas = np.concatenate([images[0][0].file.areas for images in parts.values()])
    return Layout(
        root,
        task,
        list(found.classes),
        splits,
        {name: len(images) for name, images in parts.items()},
        found.things if task == 'panoptic' else None,
        sides=median_sides(sizes),
        small=float((areas < 32**2).mean()) if len(areas) else 0.0,
    )


def _split_in_place(images: list[tuple[Split, int]], root: str) -> dict[str, str] | None:
    split = images[0][0]
    whole = split.keep.all() and split.keep_objects.all() and len(images) == len(split.images)
    if not whole or any(other is not split for other, _ in images):
        return None
    folders = {
        path[: -len(name)] if path.endswith(f'/{name}') else None
        for path, name in zip(split.images, split.file.file_names, strict=True)
    }
    if len(folders) != 1 or None in folders:
        return None
    if split.segments and any('/' in name for name in split.file.file_names):
        return None  # mmdet's metric looks for the pictures by the last part of these names
    places = {'ann_file': split.origin, 'img': folders.pop()}
    if split.segments:
        places['seg'] = osp.join(split.segments, '')
    relative = {key: osp.relpath(path, osp.abspath(root)).replace(os.sep, '/') for key, path in places.items()}
    if any(path.startswith('..') for path in relative.values()):
        return None
    return {key: path if key == 'ann_file' else f'{path}/' for key, path in relative.items()}


def _converted(root: str, task: str) -> Layout | None:
    """What this package wrote of a folder that it converted; None for another task, or a file of somebody else."""
    record = read_json(osp.join(root, RECORD))
    names = {field.name for field in fields(Layout)}
    if not isinstance(record, dict) or any(not isinstance(record.get(key), kind) for key, kind in _KINDS.items()):
        return None
    if record['task'] != task and not (record['task'] == 'instance' and task == 'detection'):
        return None
    for places in record['splits'].values():
        for path in places.values() if isinstance(places, dict) else ('..',):
            if not isinstance(path, str) or osp.isabs(path) or '..' in path.split('/'):
                raise DataError(f'{osp.join(root, RECORD)} names files outside of its folder: convert the data again.')
    values = {key: value for key, value in record.items() if key in names}
    return Layout(**{**values, 'root': root, 'task': task, 'sides': tuple(values.get('sides', (0, 0)))})
