"""Are the images that a data set names on the disk, whole, and as large as it says?"""

from __future__ import annotations

import os
import os.path as osp
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any

import cv2
from PIL import Image

from mmvitdense.datasets.band_files import size_of_bands
from mmvitdense.datasets.image_decoding import UnreadableImageError, decode_image
from mmvitdense.progress import bar

from .image_cache import Found, ImageCache
from .messages import DataError, warn
from .paths import check_inside, evenly_spaced
from .source import DataSource

_MAX_FILES = 200
_MAX_SECONDS = 10.0
_AT_ONCE = 64
_WORTH_REMEMBERING = 1.0
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)


def check_images_exist(source: DataSource, folder: str, names: list[str], listing: str) -> None:
    """Raise if an image that `listing` names is outside of the data, or one of an even sample is not there."""
    check_inside(source, folder, names, listing)
    sample = evenly_spaced(names, _MAX_FILES)
    missing = [name for name in sample if not osp.isfile(osp.join(folder, name))]
    if missing:
        looked = f'all {len(names)}' if len(sample) == len(names) else f'{len(sample)} of the {len(names)}'
        raise DataError(
            f'{source.key}: {len(missing)} of {looked} images that {listing} names are not in {folder!r}, '
            f'{missing[0]!r} for one: put them there, or name their folder with --cfg-options '
            f'{_folder_option(source, missing[0])}'
        )


def decode_images(
    source: DataSource, paths: Sequence[str], ids: Sequence[Any] | None = None, every: bool = False, allowed: int = 0
) -> dict[int, tuple[int, int]]:
    """Decode images as the pipeline of a data set will, and remember those that are whole.

    Args:
        source: The data set.
        paths: The image files.
        ids: Their ids, for messages; None where images have none.
        every: Decode all of them, with a progress bar, not an even sample of at most 200 within ten seconds.
        allowed: How many unreadable images training may meet: so many are warned of.

    Returns:
        {index of an image that was looked at: (width, height) as it is loaded}.

    Raises:
        DataError: If images cannot be read; it names the first of them, with their ids.
    """
    loader = source.loads('LoadImageFromFile')
    if loader is None:
        # The pipeline has a loader of its own, which may read what is not read here.
        sample, bands = evenly_spaced(list(range(len(paths))), _MAX_FILES), source.loads('LoadBands')
        return {index: image_size(paths[index], source.key, bands) for index in sample}
    options = {'flag': loader.get('color_type', 'color'), 'backend': loader.get('imdecode_backend', 'cv2')}
    found, problems = decode_some(paths, every, options)
    _tell(source, paths, ids, found, problems, allowed)
    return {index: (width, height) for index, (width, height, _) in found.items()}


def decode_some(
    paths: Sequence[str], every: bool, options: dict[str, str] | None = None
) -> tuple[dict[int, Found], dict[int, str]]:
    """Decode an even sample of images, or all, and remember those that are whole.

    Args:
        paths: The image files.
        every: As for `decode_images`.
        options: `flag` and `backend` of `decode_image`; colours by OpenCV by default.

    Returns:
        {index: width, height and rows that are missing} of images that can be read, and {index: what is wrong} of the
        others that were looked at.
    """
    options = options or {'flag': 'color', 'backend': 'cv2'}
    cache = ImageCache(f'{osp.abspath(osp.commonpath([osp.dirname(osp.abspath(path)) for path in paths]))} {options}')
    found: dict[int, Found] = {}
    problems: dict[int, str] = {}
    started = time.monotonic()
    try:
        for index, result in _decoded(paths, every, options, cache):
            if isinstance(result, str):
                problems[index] = result
            else:
                found[index] = result
    finally:
        if time.monotonic() - started > _WORTH_REMEMBERING:
            cache.save()
    return found, problems


def image_size(path: str, key: str, bands: dict | None = None) -> tuple[int, int]:
    """Return (width, height) of an image file as it is loaded, that is turned upright, if possible from its header.

    Args:
        path: The file.
        key: What is read, for the message.
        bands: Settings of the `LoadBands` that reads it, None where another transform does.

    Raises:
        DataError: It cannot be read.
    """
    if bands is not None:
        try:
            return size_of_bands(path, bands.get('channels_first', False))
        except (ValueError, OSError, ImportError) as error:
            raise DataError(f'{key}: {path} cannot be read as an image of bands: {error}') from None
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.format in ('JPEG', 'MPO') and image.getexif().get(_ORIENTATION) in _TURNED
            return (height, width) if turned else (width, height)
    except (OSError, Image.DecompressionBombError) as error:
        # Pillow lacks a few formats that OpenCV reads.
        loaded = cv2.imread(path, cv2.IMREAD_UNCHANGED) if osp.isfile(path) else None
        if loaded is not None:
            return loaded.shape[1], loaded.shape[0]
        raise DataError(
            f'{key}: {path} cannot be read as an image ({error}): replace it, or take it out of the data set.'
        ) from None


def _decoded(paths: Sequence[str], every: bool, options: dict, cache: ImageCache) -> Iterator[tuple[int, Found | str]]:
    """Yield (index, what was found or what is wrong) of the images to look at."""
    indices = list(range(len(paths)))
    if not every:
        indices = evenly_spaced(indices, _MAX_FILES)
        # In random order, what was seen when time is up is still spread over all of them.
        random.Random(0).shuffle(indices)
    todo = []
    for index in indices:
        known = cache.get(paths[index])
        if known:
            yield index, known
        else:
            todo.append(index)
    started = time.monotonic()
    # OpenCV decodes without Python's lock.
    with bar(len(todo), 'Decoding the images') as advance, ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        for begin in range(0, len(todo), _AT_ONCE):
            part = todo[begin : begin + _AT_ONCE]
            for index, result in zip(part, pool.map(lambda i: _decode(paths[i], options), part), strict=True):
                if not isinstance(result, str):
                    cache.put(paths[index], result)
                advance(1)
                yield index, result
            if not every and time.monotonic() - started > _MAX_SECONDS:
                return


def _decode(path: str, options: dict) -> Found | str:
    try:
        with open(path, 'rb') as file:
            image, missing = decode_image(file.read(), **options)
    except (OSError, UnreadableImageError) as error:
        return str(error)
    return image.shape[1], image.shape[0], missing


def _tell(
    source: DataSource,
    paths: Sequence[str],
    ids: Sequence[Any] | None,
    found: dict[int, Found],
    problems: dict[int, str],
    allowed: int,
) -> None:
    def named(index: int) -> str:
        return paths[index] if ids is None else f'{paths[index]} (id {ids[index]!r})'

    looked = len(found) + len(problems)
    seen = f'{looked} images' if looked == len(paths) else f'{looked} of {len(paths)} images looked at'
    if cut := sorted(index for index, (_, _, missing) in found.items() if missing):
        warn(
            f'{source.key}: {len(cut)} of {seen} lack their last bytes, {named(cut[0])} for one: parts of the '
            f'last {found[cut[0]][2]} of its {found[cut[0]][1]} rows are grey.'
        )
    if not problems:
        return
    first = '; '.join(f'{named(index)}: {problems[index]}' for index in sorted(problems)[:3])
    message = f'{source.key}: {len(problems)} of {seen} cannot be read as an image: {first}'
    if len(problems) > allowed or source.split != 'train':
        others = '' if source.split != 'train' else ', or train without them with --max-bad-images N'
        raise DataError(f'{message}; replace them, or take them out of the data set{others}.')
    warn(f'{message}; others take their places in training.')


def _folder_option(source: DataSource, name: str) -> str:
    """Return the option that names the folder of the images, with its value if an image is found further up."""
    prefix = source.option('data_prefix')['img']
    for parent in PurePosixPath(prefix).parents:
        if osp.isfile(osp.join(source.path(str(parent)), name)):
            return f'{source.key}.data_prefix.img={parent}'
    return f'{source.key}.data_prefix.img=FOLDER'
