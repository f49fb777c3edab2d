"""Data written in a layout that mmdet and mmseg read, in a folder of its own: the source is never changed."""

from __future__ import annotations

import json
import os
import os.path as osp
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from mmvitdense.progress import progress

from ..checks.messages import DataError
from .files import plain
from .found import Found, Split
from .splitting import Parts

RECORD = 'data.json'
_ADE_FOLDERS = {'train': 'training', 'val': 'validation', 'test': 'test'}


@dataclass
class Layout:
    """A data set that can be trained on.

    Attributes:
        root: Its folder.
        task: 'detection', 'instance', 'panoptic' or 'semantic'.
        classes: Names in the order of their numbers.
        splits: {'train', 'val', 'test': {'ann_file', 'img', 'seg': path relative to the root}}.
        images: {split: number of images}.
        things: Of panoptic data, how many classes are things.
        suffix: Of the images of semantic data.
        sides: (short, long) side of the images at the median, in pixels.
        small: Share of objects below 32 x 32 pixels.
    """

    root: str
    task: str
    classes: list[str]
    splits: dict[str, dict[str, str]]
    images: dict[str, int]
    things: int | None = None
    suffix: str = '.jpg'
    sides: tuple[int, int] = (0, 0)
    small: float = 0.0


def convert(found: Found, parts: Parts, target: str, task: str, copy: bool = False) -> Layout:
    """Write a data set: COCO's layout for objects and panoptic segments, ADE20K's for label maps.

    The folder is written under another name and renamed at the end: it is there whole, or not at all.

    Args:
        found: The data set.
        parts: Which image is in which split.
        target: A folder that is not there, or is empty.
        task: What is to be learnt.
        copy: Copy images; else they are linked (hard links, which take no room and outlive the source), and copied
            where the file system cannot.

    Raises:
        DataError: The folder cannot be used, or a label map holds what is no class.
    """
    place = osp.abspath(target)
    check_target(found, place)
    partial = osp.join(osp.dirname(place), f'.{osp.basename(place)}.partial-{uuid.uuid4().hex[:8]}')
    os.makedirs(partial)
    try:
        write = _write_maps if task == 'semantic' else _write_panoptic if task == 'panoptic' else _write_objects
        layout = write(found, parts, partial, task, copy)
        layout.root = target
        Path(partial, RECORD).write_text(
            json.dumps({'source': found.root, 'format': found.format, **asdict(layout)}, indent=1)
        )
        Path(partial, 'classes.txt').write_text('\n'.join(found.classes) + '\n', encoding='utf-8')
        if osp.isdir(place):
            os.rmdir(place)
        os.rename(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return layout


def unique_names(images: list[tuple[Split, int]], stems: bool = False) -> list[str]:
    """Names of the images of one split, none of them twice; with `stems` not even but for the suffix."""

    def key(name: str) -> str:
        return plain(osp.splitext(name)[0] if stems else name)

    names = [split.names[index] for split, index in images]
    counts = Counter(map(key, names))
    seen: Counter = Counter()
    unique = []
    for name, (split, _) in zip(names, images, strict=True):
        if counts[key(name)] > 1:
            seen[key(name)] += 1
            stem, suffix = osp.splitext(name)
            name = f'{stem}_{split.name or "all"}_{seen[key(name)]}{suffix}'
        unique.append(name)
    return unique


def check_target(found: Found, place: str) -> None:
    root = osp.abspath(found.root if osp.isdir(found.root) else osp.dirname(found.root))
    if osp.join(place, '').startswith(osp.join(osp.realpath(root), '')) or osp.join(place, '').startswith(
        osp.join(root, '')
    ):
        raise DataError(f'--convert {place} is inside of the data itself, {root}: give another folder.')
    if osp.exists(place) and (not osp.isdir(place) or os.listdir(place)):
        raise DataError(f'--convert {place} is there already: give a folder that is not there, or remove it.')
    parent = osp.dirname(place)
    while not osp.isdir(parent):
        if osp.exists(parent):
            raise DataError(
                f'--convert {place}: {parent} is a file, so there can be no such folder: give another name.'
            )
        parent = osp.dirname(parent)


def _put(source: str, target: str, copy: bool) -> None:
    os.makedirs(osp.dirname(target), exist_ok=True)
    source = osp.realpath(source)
    if not copy:
        try:
            os.link(source, target)
            return
        except OSError:  # another disk, or a file system without links
            pass
    shutil.copyfile(source, target)


def _write_objects(found: Found, parts: Parts, root: str, task: str, copy: bool) -> Layout:
    splits, sizes, areas = {}, [], []
    for name, images in parts.items():
        data = _coco(found, images, masks=task == 'instance')
        ann_file = f'annotations/instances_{name}.json'
        os.makedirs(osp.join(root, 'annotations'), exist_ok=True)
        Path(root, ann_file).write_text(json.dumps(data), encoding='utf-8')
        for (split, index), image in _counted(zip(images, data['images'], strict=True), images):
            _put(split.images[index], osp.join(root, name, image['file_name']), copy)
            sizes.append((image['width'], image['height']))
        areas += [item['area'] for item in data['annotations']]
        splits[name] = {'ann_file': ann_file, 'img': f'{name}/'}
    return Layout(
        root,
        task,
        list(found.classes),
        splits,
        {name: len(images) for name, images in parts.items()},
        sides=median_sides(sizes),
        small=float(np.mean(np.array(areas) < 32**2)) if areas else 0.0,
    )


def _coco(found: Found, images: list[tuple[Split, int]], masks: bool) -> dict:
    """The content of a COCO file of some images, which get new ids."""
    names = unique_names(images)
    categories = [{'id': number, 'name': name} for number, name in enumerate(found.classes, start=1)]
    data: dict = {'images': [], 'annotations': [], 'categories': categories}
    wanted: dict[int, dict] = {}
    for number, ((split, index), name) in enumerate(zip(images, names, strict=True), start=1):
        width, height = (int(side) for side in split.file.sizes[index])
        data['images'].append({'id': number, 'file_name': name, 'width': width, 'height': height})
        wanted.setdefault(id(split), {'split': split, 'ids': {}})['ids'][split.file.image_ids[index]] = number
    for entry in wanted.values():
        split, ids = entry['split'], entry['ids']
        place = {item['id']: number for number, item in enumerate(split.file.categories, start=1)}
        keep = dict(zip(split.file.annotation_ids, split.keep_objects.tolist(), strict=True))
        for item in split.content(set(ids)):
            if item['image_id'] not in ids or not keep.get(item['id'], False):
                continue
            item = {
                **item,
                'id': len(data['annotations']) + 1,
                'image_id': ids[item['image_id']],
                'category_id': place[item['category_id']],
                'iscrowd': int(bool(item.get('iscrowd', 0))),
            }
            if not masks:
                item.pop('segmentation', None)
            data['annotations'].append(item)
    return data


def _write_maps(found: Found, parts: Parts, root: str, task: str, copy: bool) -> Layout:
    splits, sizes = {}, []
    suffix = _common_suffix([split.images[index] for images in parts.values() for split, index in images])
    for name, images in parts.items():
        folder = _ADE_FOLDERS[name]
        splits[name] = {'img': f'images/{folder}', 'seg': f'annotations/{folder}'}
        for (split, index), called in _counted(zip(images, unique_names(images, stems=True), strict=True), images):
            stem = osp.splitext(called)[0]
            labels = found.table.read(split.maps[index])
            write_map(osp.join(root, splits[name]['seg'], f'{stem}.png'), labels)
            _put(split.images[index], osp.join(root, splits[name]['img'], stem + suffix), copy)
            sizes.append(split.sizes[index])
    counts = {name: len(images) for name, images in parts.items()}
    return Layout(root, task, list(found.classes), splits, counts, suffix=suffix, sides=median_sides(sizes))


def _counted(items: Iterable, images: list) -> Iterator:
    return progress(items, 'Writing images', len(images))


def write_map(path: str, labels: np.ndarray) -> None:
    """Write numbers as a PNG of one channel."""
    os.makedirs(osp.dirname(path), exist_ok=True)
    Path(path).write_bytes(cv2.imencode('.png', labels)[1].tobytes())


def _write_panoptic(found: Found, parts: Parts, root: str, task: str, copy: bool) -> Layout:
    splits, sizes = {}, []
    for name, images in parts.items():
        folder = f'annotations/panoptic_{name}'
        # mmdet's metric looks for the pictures by the last part of the names of images: there are no folders below.
        names = [name.replace('/', '_') for name in unique_names(images, stems=True)]
        data: dict = {'images': [], 'annotations': [], 'categories': []}
        for number, category in enumerate(images[0][0].file.categories, start=1):
            data['categories'].append({**category, 'id': number})
        contents = {id(split): {item['image_id']: item for item in split.content(None)} for split, _ in images}
        for number, ((split, index), called) in _counted(enumerate(zip(images, names, strict=True), start=1), images):
            width, height = (int(side) for side in split.file.sizes[index])
            stem, suffix = osp.splitext(called)
            # mmdet makes the name of the picture of the segments by replacing .jpg.
            called = f'{stem}.jpg' if suffix.lower() in ('.jpg', '.jpeg') else called
            data['images'].append({'id': number, 'file_name': called, 'width': width, 'height': height})
            item = contents[id(split)].get(split.file.image_ids[index])
            if item is None:
                raise DataError(
                    f'{split.origin} lists no segments of {split.file.file_names[index]}: add its entry to '
                    "'annotations', or take the image out of 'images'."
                )
            place = {category['id']: row for row, category in enumerate(split.file.categories, start=1)}
            segments = [{**part, 'category_id': place[part['category_id']]} for part in item['segments_info']]
            picture = called.replace('.jpg', '.png')
            data['annotations'].append({'image_id': number, 'file_name': picture, 'segments_info': segments})
            _put(osp.join(split.segments, item['file_name']), osp.join(root, folder, picture), copy)
            _put(split.images[index], osp.join(root, name, called), copy)
            sizes.append((width, height))
        Path(root, f'{folder}.json').write_text(json.dumps(data), encoding='utf-8')
        splits[name] = {'ann_file': f'{folder}.json', 'img': f'{name}/', 'seg': f'{folder}/'}
    counts = {name: len(images) for name, images in parts.items()}
    return Layout(root, task, list(found.classes), splits, counts, found.things, sides=median_sides(sizes))


def _common_suffix(paths: list[str]) -> str:
    """The suffix that most images have, in small letters: readers go by the content of a file, not by its name."""
    return Counter(osp.splitext(path)[1].lower() for path in paths).most_common(1)[0][0]


def median_sides(sizes: list | np.ndarray) -> tuple[int, int]:
    """The (short, long) side of images of these (width, height), at the median."""
    values = np.array(sizes).reshape(-1, 2)
    return (int(np.median(values.min(1))), int(np.median(values.max(1)))) if len(values) else (0, 0)
