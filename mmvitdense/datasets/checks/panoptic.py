"""Checks of COCO panoptic data: the pictures of segments against the file that lists them."""

from __future__ import annotations

import os.path as osp

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
    folder = check_folder(source, 'seg')
    unlisted = []
    for index in evenly_spaced(list(range(len(file.file_names))), _MAX_PICTURES):
        # mmdet makes the name so, whatever the annotation says.
        name = file.file_names[index].replace('.jpg', '.png')
        present = _segment_ids(source, osp.join(folder, name), tuple(file.sizes[index].astype(int).tolist()))
        stated = {file.annotation_ids[i] for i in np.flatnonzero(file.image_index == index)}
        if absent := sorted(stated - present):
            raise DataError(
                f'{source.key}: {file.path} lists the segments {listed(absent)} of {file.file_names[index]}, but '
                f'{osp.join(folder, name)} holds {listed(sorted(present - {0}))} (red + 256 green + 65536 blue): give '
                f'the folder that belongs to the file with --cfg-options {source.key}.data_prefix.seg=FOLDER, or write '
                'the pictures again, without compression that loses colours.'
            )
        if present - stated - {0}:
            unlisted.append(name)
    if unlisted:
        warn(
            f'{source.key}: {len(unlisted)} pictures of segments, {unlisted[0]} for one, have colours that {file.path} '
            'does not list; those pixels are ignored in training. Black is for pixels without a segment.'
        )


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
