"""Checks of COCO panoptic data: the pictures of segments against the file that lists them."""

from __future__ import annotations

import os.path as osp
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from PIL import Image

from .coco_file import CocoFile
from .messages import DataError, listed, warn
from .paths import check_folder, evaluators, evenly_spaced
from .source import DataSource, type_name

_MAX_PICTURES = 50


def check_segments(source: DataSource, file: CocoFile) -> None:
    """Look into a sample of the pictures of segments that mmdet's LoadPanopticAnnotations reads.

    Args:
        source: A panoptic data set.
        file: What its annotation file holds.

    Raises:
        DataError: If a picture is missing, is no picture, has another size than the file states for its image, or
            lacks a segment that the file lists. Segments that the file does not list are warned of.
    """
    option = f'{source.key}.data_prefix.seg'
    if unlisted := check_pictures(source, file, check_folder(source, 'seg'), option):
        warn(
            f'{source.key}: {len(unlisted)} pictures of segments, {unlisted[0]} for one, have colours that {file.path} '
            'does not list; those pixels are ignored in training. Black is for pixels without a segment.'
        )


def check_pictures(
    source: DataSource, file: CocoFile, folder: str, option: str | None, pictures: Sequence[str] = ()
) -> list[str]:
    """Return those of a sample of pictures in a folder that have segments of which the file knows nothing.

    Args:
        source: The data set.
        file: What its annotation file holds.
        folder: Where the pictures are.
        option: Of a config, which names the folder; None where there is no config yet.
        pictures: The name of the picture of each image; as mmdet makes them where none are given.
    """
    unlisted = []
    for index in evenly_spaced(list(range(len(file.file_names))), _MAX_PICTURES):
        # mmdet makes the name so, whatever the annotation says.
        name = pictures[index] if pictures else file.file_names[index].replace('.jpg', '.png')
        present = _segment_ids(source, osp.join(folder, name), tuple(file.sizes[index].astype(int).tolist()))
        stated = {file.annotation_ids[i] for i in np.flatnonzero(file.image_index == index)}
        if absent := sorted(stated - present):
            give = f'give the folder that belongs to the file with --cfg-options {option}=FOLDER'
            raise DataError(
                f'{f"{source.key}: " if option else ""}{file.path} lists the segments {listed(absent)} of '
                f'{file.file_names[index]}, but {osp.join(folder, name)} holds {listed(sorted(present - {0}))} '
                f'(red + 256 green + 65536 blue){_shift(stated, present - {0})}: '
                f'{give if option else "correct the ids in segments_info, or put the pictures of this file there"}, or '
                'write the pictures again, without compression that loses colours.'
            )
        if present - stated - {0}:
            unlisted.append(name)
    return unlisted


def _shift(stated: set[int], present: set[int]) -> str:
    """What to say of ids all of which are off by the same number."""
    for shift in (1, -1):
        if {number - shift for number in stated} == present:
            return f'; all of the listed ones seem to be 1 too {"high" if shift > 0 else "low"}'
    return ''


def check_panoptic_metrics(source: DataSource, cfg: dict, file: CocoFile) -> None:
    """Check the folder that mmdet's CocoPanopticMetric compares with.

    Raises:
        DataError: If it is missing, or is not that of the data set.
    """
    for key, metric in evaluators(cfg, source.split):
        if type_name(metric) != 'CocoPanopticMetric' or metric.get('format_only'):
            continue
        path, folder = metric.get('ann_file'), metric.get('seg_prefix')
        if path and '://' not in path and not (osp.isfile(path) and osp.samefile(path, file.path)):
            raise DataError(
                f'{key}.ann_file: {path!r} is not the file of {source.key}, which is scored: set --cfg-options '
                f'{key}.ann_file={file.path}'
            )
        expected = check_folder(source, 'seg')
        if not folder or not ('://' in folder or osp.isdir(folder)):
            raise DataError(
                f'{key}.seg_prefix: there is no folder {folder!r}: name that of the pictures of segments with '
                f'--cfg-options {key}.seg_prefix={expected}'
            )
        if '://' not in folder and not osp.samefile(folder, expected or '.'):
            check_pictures(source, file, folder, f'{key}.seg_prefix')


def check_things(source: DataSource, key: str, classes: tuple[str, ...], file: CocoFile, truth: CocoFile) -> None:
    """Check that the instances a metric compares with are the things of panoptic data.

    They need not be equal: of objects that cover each other, a panoptic file lacks or cuts some.

    Args:
        source: The panoptic data set.
        key: The metric, for the message.
        classes: Its classes that are things.
        file: What its annotation file holds.
        truth: What the file of the metric holds.

    Raises:
        DataError: If fewer than half of the things overlap with an instance of their class in their image by half.
    """
    found, instances = [], defaultdict(list)
    for index in np.flatnonzero(truth.of_classes(classes)):
        instances[_place(truth, index)].append(truth.boxes[index])
    for index in np.flatnonzero(file.of_classes(classes)):
        others = np.array(instances.get(_place(file, index), np.zeros((0, 4))))
        found.append(bool((_overlaps(file.boxes[index], others) > 0.5).any()))
    if found and np.mean(found) < 0.5:
        raise DataError(
            f'{key}.ann_file, {truth.path}, has other objects than {source.key}: only {sum(found)} of {len(found)} '
            f'things of {file.path} are there; give the file of instances of the same images.'
        )


def _place(file: CocoFile, index: int) -> tuple:
    return file.image_ids[file.image_index[index]], file.categories[file.category_index[index]]['name']


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of a box, (x, y, width, height), with N others."""
    corner = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    shared = (corner - np.maximum(box[:2], others[:, :2])).clip(0).prod(1)
    return shared / np.maximum(box[2:].prod() + others[:, 2:].prod(1) - shared, 1e-6)


def _segment_ids(source: DataSource, path: str, size: tuple[int, int]) -> set[int]:
    """Return the ids in a picture, 0 included where pixels have none."""
    if not osp.isfile(path):
        raise DataError(
            f'{source.key}: there is no picture of segments {path!r}; mmdet looks for the name of the image with .png: '
            f'put it there, or name the folder with --cfg-options {source.key}.data_prefix.seg=FOLDER'
        )
    try:
        with Image.open(path) as image:
            colours = np.asarray(image.convert('RGB')).astype(np.int64)
    except OSError as error:
        raise DataError(f'{source.key}: {path} cannot be read as a picture ({error}): replace it.') from None
    if colours.shape[1::-1] != size:
        raise DataError(
            f'{source.key}: {path} has {colours.shape[1]}x{colours.shape[0]} pixels, and its image is stated to have '
            f'{size[0]}x{size[1]}: resize it without interpolation, or correct the size in the annotation file.'
        )
    return set(np.unique(colours @ np.array([1, 256, 65536])).tolist())
