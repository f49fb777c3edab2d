"""Binary masks in COCO's run-length encoding: a few hundred bytes each, whatever the size of the image."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

MaskCode = dict[str, Any]
"""{'size': [height, width], 'counts': text}, as pycocotools and JSON files of COCO have it."""


class Region(NamedTuple):
    """A part of an image.

    Attributes:
        mask: h x w, bool or uint8.
        left, top: Where it lies in the image, in pixels.
    """

    mask: np.ndarray
    left: int
    top: int


def encode(mask: np.ndarray, size: tuple[int, int] | None = None, left: int = 0, top: int = 0) -> MaskCode:
    """Encode a mask, or a part of one with nothing around it.

    Args:
        mask: h x w, bool or 0 and 1.
        size: (height, width) of the image; by default that of the mask.
        left, top: Where the part lies in the image.
    """
    from pycocotools.mask import frPyObjects

    height, width = size or mask.shape
    columns = np.zeros((mask.shape[1], height), np.bool_)
    columns[:, top : top + mask.shape[0]] = mask.T
    # Runs go down the columns, and begin with one of zeros, which may be empty.
    edges = np.concatenate([[False], columns.ravel(), [False]])
    changes = np.flatnonzero(edges[1:] != edges[:-1]) + left * height
    counts = np.diff(np.concatenate([[0], changes, [height * width]]))
    if counts[-1] == 0 and len(counts) > 1:
        counts = counts[:-1]
    code = frPyObjects({'size': [height, width], 'counts': counts.tolist()}, height, width)
    return {'size': [int(height), int(width)], 'counts': code['counts'].decode('ascii')}


def decode(code: MaskCode) -> np.ndarray:
    """The mask, height x width, bool."""
    from pycocotools import mask

    return mask.decode(_in_bytes(code)).view(np.bool_)


def region(code: MaskCode) -> Region:
    """The mask without the empty rows and columns around it."""
    left, top, width, height = box(code)
    return Region(decode(code)[top : top + height, left : left + width], left, top)


def box(code: MaskCode) -> tuple[int, int, int, int]:
    """The smallest box around a mask, (left, top, width, height) in pixels; zeros for an empty one."""
    from pycocotools import mask

    left, top, width, height = mask.toBbox(_in_bytes(code)).astype(int).tolist()
    return left, top, width, height


def area(code: MaskCode) -> int:
    """The number of pixels of a mask."""
    from pycocotools import mask

    return int(mask.area(_in_bytes(code)))


def polygons(code: MaskCode) -> list[list[float]]:
    """The outlines of a mask as COCO's polygons, each [x1, y1, x2, y2, ...] in pixels.

    They go through the middles of the outermost pixels, as OpenCV follows them, and leave out holes and what is less
    than three points.
    """
    import cv2

    mask, left, top = region(code)
    if mask.size == 0:
        return []
    pixels = np.ascontiguousarray(mask, np.uint8)
    outlines, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top))
    return [line.reshape(-1).astype(float).tolist() for line in outlines if len(line) >= 3]


def _in_bytes(code: MaskCode) -> dict[str, Any]:
    counts = code['counts']
    return {'size': code['size'], 'counts': counts.encode('ascii') if isinstance(counts, str) else counts}
