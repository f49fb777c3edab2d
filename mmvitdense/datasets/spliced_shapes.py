"""Pictures of coloured shapes into which a part of another one was copied, with the mask of that part.

ROOT/{training,validation}/Tp/000000.png ...   pictures
ROOT/{training,validation}/Gt/000000.png       255 where the pixels are another picture's
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

import cv2
import numpy as np

from .shapes import SPLITS, scene

_SHARES = (0.2, 0.6)
"""Smallest and largest part of each side that is copied."""


def write_spliced_shapes(
    root: str | Path, num_training: int = 400, num_validation: int = 100, image_size: int = 128, seed: int = 0
) -> Path:
    """Write the data set, whole or not at all. The same arguments give the same bytes.

    Args:
        root: Folder to create; must not exist or be empty.
        num_training, num_validation: Number of images of each split.
        image_size: Height and width in pixels.
        seed: As for `write_shapes`.

    Returns:
        `root`.

    Raises:
        FileExistsError: There is something in `root`.
    """
    target = Path(root).resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f'{root} exists and is not empty: name another folder, or remove it.')
    partial = target.parent / f'.{target.name}.partial-{uuid.uuid4().hex[:8]}'
    try:
        for split, count in zip(SPLITS, (num_training, num_validation)):
            for kind in ('Tp', 'Gt'):
                (partial / split / kind).mkdir(parents=True)
            for index in range(count):
                image, mask = spliced(split, index, image_size, seed)
                for kind, content in (('Tp', image), ('Gt', mask)):
                    code = cv2.imencode('.png', content)[1].tobytes()
                    (partial / split / kind / f'{index:06d}.png').write_bytes(code)
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Path(root)


def spliced(split: str, index: int, image_size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One picture, H x W x 3 uint8 BGR, and its mask, H x W of 0 and 255."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index, 1])
    picture, donor = (scene(split, index, (image_size, image_size), s).image for s in (2 * seed, 2 * seed + 1))
    low, high = (int(image_size * share) for share in _SHARES)
    height, width = rng.integers(low, high, 2)
    places = [rng.integers(0, image_size - (height, width)[axis], 2) for axis in (0, 1)]
    (top, from_top), (left, from_left) = places
    picture, mask = picture.copy(), np.zeros((image_size, image_size), np.uint8)
    picture[top : top + height, left : left + width] = donor[
        from_top : from_top + height, from_left : from_left + width
    ]
    mask[top : top + height, left : left + width] = 255
    return picture, mask
