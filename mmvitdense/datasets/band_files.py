"""Files of images of any number of bands: (Geo)TIFF by the package tifffile, and arrays of numpy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

_TIFF = ('.tif', '.tiff')
SUFFIXES = (*_TIFF, '.npy')


def read_bands(path: str | Path, channels_first: bool = False) -> np.ndarray:
    """Read an image of any number of bands.

    Args:
        path: A file of one of `SUFFIXES`.
        channels_first: Whether an array is C x H x W; a TIFF says itself.

    Returns:
        H x W x C.

    Raises:
        ValueError: The file is no such image.
        ImportError: It is a TIFF, and tifffile is not installed.
    """
    if _is_tiff(path):
        with _opened_tiff(path) as series:
            image, axes = series.asarray(), _axes(path, series)
        return image[:, :, None] if axes == 'YX' else image.transpose(1, 2, 0) if axes.endswith('YX') else image
    image = _array(path)
    image = image[:, :, None] if image.ndim == 2 else image
    return image.transpose(1, 2, 0) if channels_first else image


def size_of_bands(path: str | Path, channels_first: bool = False) -> tuple[int, int]:
    """Width and height of such an image, from the beginning of its file; see `read_bands`."""
    if _is_tiff(path):
        with _opened_tiff(path) as series:
            shape, axes = series.shape, _axes(path, series)
            return shape[axes.index('X')], shape[axes.index('Y')]
    shape = _array(path, mmap_mode='r').shape
    height, width = shape[1:] if channels_first and len(shape) == 3 else shape[:2]
    return width, height


def _is_tiff(path: str | Path) -> bool:
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f'LoadBands reads {", ".join(SUFFIXES[:-1])} and {SUFFIXES[-1]}, got {path}')
    return suffix in _TIFF


def _array(path: str | Path, **how: Any) -> np.ndarray:
    try:
        image = np.load(path, allow_pickle=False, **how)
    except (ValueError, EOFError) as error:
        raise ValueError(f'{path} is no array of numbers, or damaged: {error}') from error
    if image.ndim not in (2, 3):
        raise ValueError(f'{path} has {image.ndim} axes; expected rows, columns and bands')
    return image


@contextmanager
def _opened_tiff(path: str | Path) -> Iterator[Any]:
    """The first image of a TIFF."""
    try:
        import tifffile
    except ImportError as error:
        raise ImportError(f'{path} is a TIFF of bands: run `pip install tifffile` to read it') from error
    try:
        with tifffile.TiffFile(path) as file:
            yield file.series[0]
    except (tifffile.TiffFileError, ValueError, IndexError) as error:
        raise ValueError(f'{path} is no TIFF, or damaged: {error}') from error


def _axes(path: str | Path, series: Any) -> str:
    axes = series.axes
    if axes != 'YX' and (len(axes) != 3 or not axes.endswith(('YX', 'YXS', 'YXC'))):
        raise ValueError(f'it has the axes {axes}; expected rows, columns and bands')
    return axes
