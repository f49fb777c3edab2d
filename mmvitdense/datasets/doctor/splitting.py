"""Which image is trained on and which is scored: as the data says, or by the bytes of each image."""

from __future__ import annotations

import numpy as np

from ..checks.messages import DataError
from .found import Found, Split
from .images import digests_of

Parts = dict[str, list[tuple[Split, int]]]
"""{split: (where an image is from, its number there)}."""


def parts_of(found: Found, val_share: float, resplit: bool = False) -> tuple[Parts, str | None]:
    """Divide the images that are kept into 'train', 'val' and, where there is one, 'test'.

    Where the data has no validation images, each image goes there by the digest of its bytes: adding images moves none
    of the others, and copies of an image stay together.

    Args:
        found: The data set.
        val_share: Which share of the images to score, where the data does not say.
        resplit: Divide anew what the data divides, its test images aside.

    Returns:
        The parts, and a sentence that says how they were made, None where the data says it all.

    Raises:
        DataError: There are too few images.
    """
    parts: Parts = {}
    for split in found.labelled:
        name = 'train' if resplit and split.name != 'test' else split.name
        parts.setdefault(name, []).extend((split, int(index)) for index in np.flatnonzero(split.keep))
    parts = {name: images for name, images in parts.items() if images}
    if set(parts) & {'train', 'val'} and '' in parts:
        parts['train' if 'val' in parts else 'val'] = parts.get('train' if 'val' in parts else 'val', []) + parts.pop(
            ''
        )
    if len(parts) == 1:
        parts = {'train': next(iter(parts.values()))}
    if 'train' not in parts:
        raise DataError(
            f'{found.root} has the splits {", ".join(parts) or "(none)"} and none to train on: use --resplit.'
        )
    if 'val' in parts and not resplit:
        return parts, None
    train, val = _divided(parts['train'], val_share)
    ordered = {'train': train, 'val': val, **{name: images for name, images in parts.items() if name == 'test'}}
    return ordered, f'{len(val)} of {len(train) + len(val)} images are for validation, chosen by their bytes.'


def _divided(images: list[tuple[Split, int]], share: float) -> tuple[list, list]:
    digests = digests_of([split.images[index] for split, index in images])
    places = [int(digests[split.images[index]][:12], 16) / 16**12 for split, index in images]
    if len(set(places)) < 2:
        raise DataError('There is one image alone, so none is left to score: give at least two different ones.')
    limit = max(share, min(places))
    if limit >= max(places):
        limit = sorted(set(places))[-2]
    return (
        [image for image, place in zip(images, places, strict=True) if place > limit],
        [image for image, place in zip(images, places, strict=True) if place <= limit],
    )
