"""Checks of semantic segmentation data: folders of images and label maps, read by mmseg's BaseSegDataset."""

from __future__ import annotations

import os.path as osp
import random
import time

import numpy as np
from PIL import Image

from .classes import class_names
from .image_files import image_size
from .messages import DataError, listed
from .paths import check_folder, check_root, describe_suffixes, evenly_spaced, find_files
from .source import DataSource

_MAX_SECONDS = 10.0


def check_segmentation(source: DataSource, cfg: dict, max_maps: int) -> tuple[tuple[str, ...] | None, str]:
    """Check one data set of images and label maps.

    Args:
        source: The data set.
        cfg: The whole config.
        max_maps: How many label maps to look into at most.

    Returns:
        Its classes, None if nothing names them, and what was looked at.
    """
    check_root(source, cfg)
    classes = _class_names(source)
    images = check_folder(source, 'img_path')
    names = _image_names(source, images)
    loader = source.loads('LoadAnnotations')
    if loader is None:
        return classes, f'{len(names)} images'
    maps = check_folder(source, 'seg_map_path')
    suffix = source.option('seg_map_suffix', '.png')
    expected = [name + suffix for name in names]
    present = set(find_files(maps))
    if absent := [name for name in expected if name not in present]:
        raise DataError(
            f'{source.key}: {len(absent)} of {len(expected)} images have no label map: {maps!r} lacks {absent[0]!r} '
            f'for one and holds {describe_suffixes(sorted(present))}: add the maps, or name their folder or suffix '
            f'with --cfg-options {source.key}.data_prefix.seg_map_path=FOLDER {source.key}.seg_map_suffix=SUFFIX'
        )
    pairs = [
        (osp.join(images, name + source.option('img_suffix', '.jpg')), osp.join(maps, name + suffix)) for name in names
    ]
    return classes, f'{len(names)} images, {_check_maps(source, cfg, classes, pairs, max_maps)}'


def _class_names(source: DataSource) -> tuple[str, ...] | None:
    classes = class_names(source)
    if classes is None:
        if source.option('test_mode', False):
            raise DataError(
                f'{source.key} has no class names, which mmseg needs to score: write '
                "metainfo=dict(classes=('NAME OF VALUE 0', 'NAME OF VALUE 1')) for this data set."
            )
        return None
    own = (getattr(source.cls, 'METAINFO', None) or {}).get('classes')
    if own is not None and (foreign := [name for name in classes if name not in own]):
        raise DataError(
            f'{source.key}.metainfo.classes names {listed(foreign)}, which {source.cls.__name__} does not have; a '
            f'data set with classes of its own is --cfg-options {source.key}.type=mmseg.BaseSegDataset'
        )
    return classes


def _image_names(source: DataSource, folder: str) -> list[str]:
    """Return the names of the images without suffix: those that ann_file lists, else those in the folder."""
    suffix = source.option('img_suffix', '.jpg')
    listing = source.path(source.option('ann_file')) if source.option('ann_file') else ''
    present = find_files(folder)
    if not listing or osp.isdir(listing):
        names = [name[: len(name) - len(suffix)] for name in present if name.endswith(suffix)]
        if not names:
            raise DataError(
                f'{source.key}: {folder!r} holds no file that ends in {suffix!r}, but {describe_suffixes(present)}: '
                f'give the suffix with --cfg-options {source.key}.img_suffix=SUFFIX, or the folder with '
                f'{source.key}.data_prefix.img_path=FOLDER'
            )
        return names
    if not osp.isfile(listing):
        raise DataError(
            f'{source.key}.ann_file: there is no file {listing!r} ({osp.abspath(listing)}): name it with --cfg-options '
            f"{source.key}.ann_file=FILE, or use every image of the folder with {source.key}.ann_file=''"
        )
    with open(listing, encoding='utf-8') as lines:
        names = [line.strip() for line in lines]
    if not any(names):
        raise DataError(
            f'{source.key}.ann_file: {listing} is empty: write the name of one image, without suffix, a line.'
        )
    files = set(present)
    if absent := [name for name in names if name + suffix not in files]:
        raise DataError(
            f'{source.key}: {len(absent)} of the {len(names)} images that {listing} lists are not in {folder!r}, '
            f'{absent[0] + suffix!r} for one: the file lists names without suffix, one a line; correct it or '
            'img_suffix.'
        )
    return names


def _check_maps(
    source: DataSource, cfg: dict, classes: tuple | None, pairs: list[tuple[str, str]], max_maps: int
) -> str:
    """Check values and sizes of label maps, evenly spread over all of them, and return how many were looked at."""
    reduce_zero = bool(source.option('reduce_zero_label', False))
    counts = np.zeros(256, np.int64)
    offenders: dict[int, str] = {}
    allowed = _allowed_values(source, cfg, classes, reduce_zero)
    from_file = source.loads('LoadImageFromFile')
    sample = evenly_spaced(pairs, max_maps)
    # In random order, what was seen when time is up is still spread over all of them.
    random.Random(0).shuffle(sample)
    started, looked = time.monotonic(), 0
    for image, label_map in sample:
        histogram, size = _histogram(label_map, source.key)
        if from_file and (of_image := image_size(image, source.key)) != size:
            raise DataError(
                f'{source.key}: {image} has {of_image[0]}x{of_image[1]} pixels and its label map {label_map} '
                f'{size[0]}x{size[1]}: make them equal (resize maps without interpolation, nearest neighbour).'
            )
        for value in np.flatnonzero((histogram > 0) & ~allowed):
            offenders.setdefault(int(value), label_map)
        counts += histogram > 0
        looked += 1
        if time.monotonic() - started > _MAX_SECONDS:
            break
    seen = f'{looked} of {len(pairs)} label maps looked at'
    if offenders:
        raise DataError(_wrong_values(source, offenders, counts, allowed, reduce_zero, seen))
    _check_variety(source, counts, reduce_zero, seen)
    return seen


def _allowed_values(source: DataSource, cfg: dict, classes: tuple | None, reduce_zero: bool) -> np.ndarray:
    """Return which of the values 0 to 255 a label map may hold, following mmseg's LoadAnnotations."""
    decode_head = (cfg.get('model') or {}).get('decode_head') or {}
    decode_head = decode_head[0] if isinstance(decode_head, (list, tuple)) else decode_head
    own = (getattr(source.cls, 'METAINFO', None) or {}).get('classes')
    # Where metainfo selects from the classes of the data set's type, the maps still hold the values of all of them.
    number = len(own or classes) if own or classes else decode_head.get('num_classes', 256)
    values = np.arange(256)
    if reduce_zero:
        values = np.where((values == 0) | (values == 255), 255, values - 1)
    return (values < number) | (values == decode_head.get('ignore_index', 255))


def _histogram(path: str, key: str) -> tuple[np.ndarray, tuple[int, int]]:
    """Return how often each value 0 to 255 occurs in a label map, and the map's (width, height)."""
    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except OSError as error:
        raise DataError(f'{key}: {path} cannot be read as a label map ({error}): replace it.') from None
    if values.ndim != 2:
        raise DataError(
            f'{key}: {path} is a colour picture ({image.mode}); the pixels of a label map are class numbers: convert '
            'it to an 8-bit picture of one channel.'
        )
    if values.dtype != np.uint8 and values.dtype != bool and (values.min() < 0 or values.max() > 255):
        raise DataError(
            f'{key}: {path} holds the label value {values.max()}, and mmseg reads labels as 8-bit numbers: renumber '
            'the labels from 0 to 254, 255 is ignored.'
        )
    return np.bincount(values.astype(np.uint8).ravel(), minlength=256), (values.shape[1], values.shape[0])


def _wrong_values(
    source: DataSource, offenders: dict, counts: np.ndarray, allowed: np.ndarray, reduce_zero: bool, seen: str
) -> str:
    limit = int(np.flatnonzero(allowed[:255]).max())
    largest = max(offenders)
    found = (
        f'{source.key}: label values {listed(sorted(offenders))} occur ({seen}), {offenders[largest]} for one, but the '
        f'classes of the data leave only values up to {limit}'
    )
    advice = 'name a class for each value in metainfo.classes and in num_classes of the heads, or renumber the maps'
    if not reduce_zero and largest == limit + 1:
        option = f'set --cfg-options {source.key}.reduce_zero_label=True'
        if not counts[0]:
            return f'{found}; as 0 never occurs, labels seem to start at 1: {option}'
        advice += f', or if 0 stands for unlabelled, {option}'
    return f'{found}: {advice}.'


def _check_variety(source: DataSource, counts: np.ndarray, reduce_zero: bool, seen: str) -> None:
    """Raise if the maps hold nothing to learn: every pixel ignored, or a mask of 0 and 255 whose 255 is ignored."""
    labelled = np.flatnonzero(counts[:255]) if not reduce_zero else np.flatnonzero(counts[1:255]) + 1
    if not len(labelled):
        raise DataError(
            f'{source.key}: every pixel is ignored ({seen}): 255'
            f'{" and, with reduce_zero_label=True, 0 are" if reduce_zero else " is"} not a class; renumber the maps'
            f'{", or set reduce_zero_label=False" if reduce_zero else ""}.'
        )
    if source.split == 'train' and labelled.tolist() == [0] and counts[255]:
        raise DataError(
            f'{source.key}: the label maps hold 0 and 255 alone ({seen}), and 255 is ignored, so there is one class: '
            'if 255 marks a class, write 1 instead.'
        )
