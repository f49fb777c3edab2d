"""Detection in tiles of large images, for objects that are small in them: cut and matched by sahi."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmvitdense.mask_codes import MaskCode, encode, region

from .errors import InputError
from .result import Result

_OVERLAP = 0.2
_MATCH = 0.5


class Tiling:
    """Cuts images into overlapping squares, and joins what is found in them and in the whole image.

    As in sahi's `get_sliced_prediction`, tiles overlap by a fifth, the whole image is looked at too, and detections of
    a class of which one has more than half of its box in common with another (intersection over the smaller area)
    become one: with the best score, the box around them, and the union of their masks.

    Args:
        size: Side of a tile in pixels of the image.

    Raises:
        InputError: The size cannot be used, or sahi is not installed.
    """

    def __init__(self, size: int):
        check_tile_size(size)
        try:
            import sahi  # noqa: F401
        except ImportError as error:
            raise InputError('Objects are detected in tiles where sahi is installed: pip install sahi.') from error
        self.size = size

    def places(self, height: int, width: int) -> list[tuple[int, int, int, int]]:
        """Left, top, right and bottom of each tile of an image; none where the image is no larger than a tile."""
        if max(height, width) <= self.size:
            return []
        from sahi.slicing import get_slice_bboxes

        size, overlap = (min(self.size, height), min(self.size, width)), (_OVERLAP, _OVERLAP)
        return [tuple(place) for place in get_slice_bboxes(height, width, *size, False, *overlap)]

    def join(self, whole: Result, tiles: list[tuple[int, int, Result]]) -> Result:
        """The result for an image.

        Args:
            whole: That of the whole image, which is changed.
            tiles: Left, top and result of each tile.

        Raises:
            InputError: There are no boxes to join.
        """
        if whole.boxes is None or whole.segment_map is not None:
            raise InputError('tiles are for boxes and masks of objects, and for label maps: leave them out here.')
        if not tiles:
            return whole
        parts = [(0, 0, whole), *tiles]
        boxes = np.concatenate([part.boxes + np.array([left, top] * 2, np.float32) for left, top, part in parts])
        scores = np.concatenate([part.scores for _, _, part in parts])
        labels = np.concatenate([part.labels for _, _, part in parts])
        masks = None
        if whole.masks is not None:
            masks = [_moved(mask, left, top, whole.size) for left, top, part in parts for mask in part.masks]
        groups = _groups(boxes, scores, labels)
        best = [members[0] for members in groups]
        whole.boxes = np.array([_around(boxes[members]) for members in groups], np.float32).reshape(-1, 4)
        whole.scores, whole.labels = scores[best], labels[best]
        whole.masks = None if masks is None else [_union([masks[member] for member in members]) for members in groups]
        return whole


def check_tile_size(size: Any) -> None:
    """Refuse what is no side of a tile.

    Raises:
        InputError: It is no whole number of at least 32.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 32:
        raise InputError(f'tiles is {size!r}; expected the side of a tile in pixels, a whole number of at least 32.')


def _groups(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> list[list[int]]:
    """Which detections are one, the best of each first, in order of their scores."""
    from sahi.postprocess.combine import batched_greedy_nmm

    if not len(boxes):
        return []
    table = np.concatenate([boxes, scores[:, None], labels[:, None].astype(np.float32)], axis=1)
    matched = batched_greedy_nmm(table, match_metric='IOS', match_threshold=_MATCH)
    groups = []
    for best, others in matched.items():
        members = [int(best)]
        for other in map(int, others):
            # A box that has grown may have left others behind.
            if _overlap(_around(boxes[members]), boxes[other]) > _MATCH:
                members.append(other)
        groups.append(members)
    return sorted(groups, key=lambda members: -scores[members[0]])


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over the smaller area."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    smaller = min(np.prod(first[2:] - first[:2]), np.prod(second[2:] - second[:2]))
    return float(np.prod(sides.clip(0)) / max(smaller, 1e-9))


def _around(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def _moved(code: MaskCode, left: int, top: int, size: tuple[int, int]) -> MaskCode:
    """The code of a mask of a tile in the whole image."""
    if tuple(code['size']) == tuple(size):
        return code
    part = region(code)
    return encode(part.mask, size, part.left + left, part.top + top)


def _union(codes: list[MaskCode]) -> MaskCode:
    from pycocotools.mask import merge

    if len(codes) == 1:
        return codes[0]
    whole = merge([{**code, 'counts': code['counts'].encode('ascii')} for code in codes])
    return {'size': codes[0]['size'], 'counts': whole['counts'].decode('ascii')}
