"""Are the images that a data set names on the disk, whole, and as large as it says?"""

from __future__ import annotations

import os.path as osp
from pathlib import PurePosixPath

import cv2
import numpy as np
from PIL import Image

from .messages import DataError, warn
from .paths import evenly_spaced
from .source import DataSource

_MAX_FILES = 200
_MAX_OPENED = 50
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)


def check_images_exist(source: DataSource, folder: str, names: list[str], listing: str) -> None:
    """Raise if one of an even sample of the images that ``listing`` names is not in ``folder``."""
    sample = evenly_spaced(names, _MAX_FILES)
    missing = [name for name in sample if not osp.isfile(osp.join(folder, name))]
    if missing:
        looked = f'all {len(names)}' if len(sample) == len(names) else f'{len(sample)} of the {len(names)}'
        raise DataError(
            f'{source.key}: {len(missing)} of {looked} images that {listing} names are not in {folder!r}, '
            f'{missing[0]!r} for one: put them there, or name their folder with --cfg-options '
            f'{_folder_option(source, missing[0])}'
        )


def check_sizes(source: DataSource, folder: str, names: list[str], sizes: np.ndarray, listing: str) -> None:
    """Look into a sample of the images: raise if one is not an image, warn if one has another size than stated.

    Args:
        source: The data set.
        folder: Where the images lie.
        names: File names of N images.
        sizes: N x 2, the (width, height) that ``listing`` states.
        listing: The annotation file, for the message.
    """
    sample = evenly_spaced(list(range(len(names))), _MAX_OPENED)
    wrong = []
    for index in sample:
        size = image_size(osp.join(folder, names[index]), source.key)
        if size != tuple(sizes[index]):
            wrong.append((names[index], size, sizes[index]))
    if wrong:
        name, (width, height), stated = wrong[0]
        warn(
            f'{source.key}: {len(wrong)} of {len(sample)} images looked at have another size than {listing} states, so '
            f'their boxes and masks may lie elsewhere: {name} is {width}x{height}, stated '
            f'{stated[0]:.0f}x{stated[1]:.0f}.',
        )


def image_size(path: str, key: str) -> tuple[int, int]:
    """Return (width, height) of an image file as it is loaded, that is turned upright, if possible from its header."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.format in ('JPEG', 'MPO') and image.getexif().get(_ORIENTATION) in _TURNED
            return (height, width) if turned else (width, height)
    except (OSError, Image.DecompressionBombError) as error:
        # Pillow lacks a few formats that OpenCV reads, such as TIFF with many channels.
        loaded = cv2.imread(path, cv2.IMREAD_UNCHANGED) if osp.isfile(path) else None
        if loaded is not None:
            return loaded.shape[1], loaded.shape[0]
        raise DataError(
            f'{key}: {path} cannot be read as an image ({error}): replace it, or take it out of the data set.'
        ) from None


def _folder_option(source: DataSource, name: str) -> str:
    """Return the option that names the folder of the images, with its value if an image is found further up."""
    prefix = source.option('data_prefix')['img']
    for parent in PurePosixPath(prefix).parents:
        if osp.isfile(osp.join(source.path(str(parent)), name)):
            return f'{source.key}.data_prefix.img={parent}'
    return f'{source.key}.data_prefix.img=FOLDER'
