"""Do the boxes of a COCO file lie in their images?"""

from __future__ import annotations

import numpy as np

from .coco_file import CocoFile
from .messages import DataError, warn
from .source import DataSource

_FAR = 0.1
"""How far a box reaches out of its image, in sides of it, before rounding and hidden parts explain it no more."""


_ABSURD = 10
"""In sides of the image: no box of an object, but a number gone wrong, and a loss that becomes infinite."""


def check_boxes(source: DataSource, file: CocoFile, wanted: np.ndarray) -> None:
    """Raise if most boxes reach far out of their images; warn of some, and of those that mmdet drops without a word.

    Args:
        source: The data set.
        file: What its annotation file holds.
        wanted: Which annotations are of the classes of the data set, M bool.
    """
    x, y, width, height = file.boxes.T
    limits = file.sizes[file.image_index]
    reach = _reach(file)
    if (absurd := wanted & absurd_boxes(file)).any():
        first = int(np.flatnonzero(absurd)[0])
        raise DataError(
            f'{source.key}: {int(absurd.sum())} of {int(wanted.sum())} boxes in {file.path} lie far out of their '
            f'images: {file.describe(first)} has the box {_listed(file.boxes[first])} in an image of '
            f'{limits[first, 0]:.0f}x{limits[first, 1]:.0f}; correct these annotations, or take them out.'
        )
    far = far_out(file)
    outside = (x + width > 1.01 * limits[:, 0] + 1) | (y + height > 1.01 * limits[:, 1] + 1)
    like_corners = (width > x) & (height > y) & (width <= limits[:, 0] + 1) & (height <= limits[:, 1] + 1)
    corners = (
        f'the boxes of {file.path} look like corners (x1, y1, x2, y2): read as (x, y, width, height), '
        f'{int(outside.sum())} of {len(x)} reach out of their image. COCO boxes are (x, y, width, height).'
    )
    if far[wanted].mean() > 0.5:
        if like_corners[wanted].all():
            raise DataError(f'{source.key}: {corners}')
        worst = int(np.argmax(np.where(wanted, reach, -np.inf)))
        raise DataError(
            f'{source.key}: {int(far[wanted].sum())} of {int(wanted.sum())} boxes in {file.path} reach far out of '
            f'their images: {file.describe(worst)} has the box {_listed(file.boxes[worst])} in an image of '
            f'{limits[worst, 0]:.0f}x{limits[worst, 1]:.0f}; write boxes as (x, y, width, height) in pixels of the '
            'image as it is on the disk (were the images made smaller, or width and height swapped?).'
        )
    if like_corners.all() and outside.mean() > 0.2:
        warn(f'{source.key}: {corners}')
        return
    if lost := int((~file.usable() & ~file.ignored).sum()):
        warn(
            f'{source.key}: {lost} of {len(x)} objects in {file.path} are left out by mmdet: their area is 0, or '
            'their box is less than a pixel wide or high, or outside of the image.'
        )
    if far[wanted].any():
        first = int(np.flatnonzero(far & wanted)[0])
        warn(
            f'{source.key}: {int(far[wanted].sum())} of {int(wanted.sum())} boxes in {file.path} reach far out of '
            f'their images, {file.describe(first)} for one with {_listed(file.boxes[first])} in '
            f'{limits[first, 0]:.0f}x{limits[first, 1]:.0f} pixels.'
        )


def far_out(file: CocoFile) -> np.ndarray:
    """Which boxes reach so far out of their images that neither rounding nor hidden parts explain it, M bool."""
    x, _, width, _ = file.boxes.T
    limits = file.sizes[file.image_index]
    reach = _reach(file)
    side = np.where((reach == -x) | (reach == x + width - limits[:, 0]), *limits.T)
    return (reach > 2) & (reach > _FAR * side)


def absurd_boxes(file: CocoFile) -> np.ndarray:
    """Which boxes reach out of their images by several sides of them, M bool."""
    return _reach(file) > _ABSURD * file.sizes[file.image_index].max(1)


def off_image(file: CocoFile) -> np.ndarray:
    """Which boxes do not touch their images, M bool."""
    x, y, width, height = file.boxes.T
    limits = file.sizes[file.image_index]
    return (x >= limits[:, 0]) | (y >= limits[:, 1]) | (x + width <= 0) | (y + height <= 0)


def _reach(file: CocoFile) -> np.ndarray:
    """How far each box reaches out of its image, M, in pixels; negative inside."""
    x, y, width, height = file.boxes.T
    limits = file.sizes[file.image_index]
    return np.maximum.reduce([-x, -y, x + width - limits[:, 0], y + height - limits[:, 1]])


def _listed(box: np.ndarray) -> str:
    return f'({", ".join(f"{value:g}" for value in box)})'
