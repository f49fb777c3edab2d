"""Can the masks of a COCO file be decoded, and do they lie on their images?"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from .coco_file import CocoFile
from .coco_masks import DROPPED_FAULTS, FAR, POLYGON, RLE, misplaced
from .messages import DataError, warn
from .source import DataSource


def check_outlines(source: DataSource, file: CocoFile, classes: Collection[str]) -> None:
    """Check the masks that the pipeline of a data set loads.

    Raises:
        DataError: If one would stop a run, or if mmdet would drop more than 1 % of the objects for their masks; fewer
            are warned of.
    """
    loader = source.loads('LoadAnnotations')
    if file.panoptic or not (loader and loader.get('with_mask')):
        return
    chosen = file.of_classes(classes) & file.usable()
    if not loader.get('poly2mask', True) and (file.masks[chosen] == RLE).any():
        number = int((file.masks[chosen] == RLE).sum())
        message = (
            f'{source.key}: {number} of {int(chosen.sum())} masks of {file.path} are RLEs, and objects with them are '
            'dropped without poly2mask=True (the default) in LoadAnnotations.'
        )
        if number > 0.01 * chosen.sum():
            raise DataError(message)
        warn(message)
    name_faults(file, chosen, source.key, allowed=DROPPED_FAULTS, share=0.01)


def name_faults(file: CocoFile, chosen: np.ndarray, key: str, allowed: Collection[str], share: float) -> None:
    """Raise with the faulty masks among the chosen, or warn of them.

    Args:
        file: A COCO file.
        chosen: Which annotations to look at, M bool.
        key: What is checked, for the message.
        allowed: Faults that only warn.
        share: How many of the chosen may have such faults.
    """
    faults = {index: fault for index, fault in file.mask_faults.items() if chosen[index]}
    faults |= misplaced_masks(file, chosen)
    if not faults:
        return
    fatal = {index: fault for index, fault in faults.items() if fault not in allowed}
    named = '; '.join(f'{file.describe(index)} {fault}' for index, fault in sorted((fatal or faults).items())[:3])
    message = f'{key}: {len(faults)} of {int(chosen.sum())} masks in {file.path} are not as they should be: {named}'
    if fatal or len(faults) > share * chosen.sum():
        raise DataError(f'{message}. Correct these annotations, or take them out.')
    warn(f'{message}; what cannot be decoded of them is left out.')


def misplaced_masks(file: CocoFile, chosen: np.ndarray) -> dict[int, str]:
    """Return {annotation: fault} of the chosen masks of another size than their image, or far out of it."""
    width, height = file.sizes[file.image_index].T
    left, top, right, bottom = file.mask_numbers.T
    suspects = (file.masks == RLE) & ((left != height) | (top != width))
    far = np.maximum.reduce([-left / width, -top / height, right / width, bottom / height]) > FAR
    suspects |= (file.masks == POLYGON) & far
    return {
        int(i): misplaced(int(file.masks[i]), tuple(file.mask_numbers[i].tolist()), float(height[i]), float(width[i]))
        for i in np.flatnonzero(suspects & chosen)
    }
