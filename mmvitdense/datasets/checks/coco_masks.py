"""The masks of a COCO file, judged while the file is parsed and reduced to the few numbers that checks need.

Whatever would stop or silently spoil their decoding is found by arithmetic: pycocotools trusts its input, and a NaN, a
coordinate of 1e9 or an RLE of 200000 x 200000 pixels ends the process instead of raising an error.
"""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np

NO_MASK, POLYGON, RLE, BROKEN_MASK = range(4)

FEW_POINTS = 'has no polygon of three points or more (x, y, x, y, x, y)'
FEW_POINTS_AT_FIRST = 'has a first part of fewer than three points, which pycocotools takes for a box'
FEW_POINTS_IN_PART = 'has parts of fewer than three points, or of an odd number of coordinates'
SHORT_RLE = 'has an RLE of fewer pixels than its size'
NESTED_RLE = 'is an RLE inside a list, where polygons are expected: write the RLE itself'
FLAT_POLYGON = 'is a list of numbers: a mask is a list of such lists, one for each part'
NO_NUMBERS = 'has coordinates that are not finite numbers'
NO_SIZE = 'has an RLE whose size is not (height, width), two whole numbers of pixels'
NO_COUNTS = 'has an RLE whose counts are not the lengths of the runs of its pixels'
NO_FORMAT = 'is neither a list of polygons nor an RLE with size and counts'
DROPPED_FAULTS = (FEW_POINTS, FEW_POINTS_AT_FIRST, FEW_POINTS_IN_PART, SHORT_RLE)
SCORED_FAULTS = (FEW_POINTS_IN_PART, SHORT_RLE)
"""Faults for which mmdet drops an object or a part of it in training, and those with which pycocotools scores it
nevertheless: the others stop a run when it meets them."""

FAR = 10
"""In sides of the image: pycocotools walks along an outline pixel by pixel, and 1e9 pixels end the process."""
_MOST_PIXELS = 2**31 - 1
_PENDING_CHARACTERS = 250_000


class MaskReader:
    """Judges one mask after the other and keeps them as columns.

    Attributes:
        kinds: One of NO_MASK, POLYGON, RLE, BROKEN_MASK for each mask, as `mmdet.LoadAnnotations` distinguishes them.
        numbers: Four numbers for each mask: x and y at least and at most of a polygon, height and width of an RLE.
        faults: {number of the mask: one of the sentences above}.
    """

    def __init__(self) -> None:
        self.kinds = bytearray()
        self.numbers = array('d')
        self.faults: dict[int, str] = {}
        self._pending: list[tuple[int, str, int]] = []
        self._pending_characters = 0

    def add(self, segmentation: Any) -> int:
        """Judge the 'segmentation' of an annotation and return the number of its mask."""
        if self._pending_characters > _PENDING_CHARACTERS:
            self.finish()
        number = len(self.kinds)
        if not segmentation:
            kind, numbers, fault = NO_MASK, (0.0, 0.0, 0.0, 0.0), None
        elif isinstance(segmentation, list):
            kind, numbers, fault = _judge_polygons(segmentation)
        elif isinstance(segmentation, dict):
            kind, numbers, fault = self._judge_rle(segmentation, number)
        else:
            kind, numbers, fault = BROKEN_MASK, (0.0, 0.0, 0.0, 0.0), NO_FORMAT
        self.kinds.append(kind)
        self.numbers.extend(numbers)
        if fault:
            self.faults[number] = fault
        return number

    def finish(self) -> None:
        """Judge what was put off: the texts of compressed RLEs, which are decoded many at a time."""
        if not self._pending:
            return
        numbers, texts, pixels = zip(*self._pending, strict=True)
        totals, whole = rle_totals(texts)
        for number, total, good, expected in zip(numbers, totals.tolist(), whole.tolist(), pixels, strict=True):
            if not good or total > expected:
                self.faults[number], self.kinds[number] = NO_COUNTS, BROKEN_MASK
            elif total < expected:
                self.faults[number] = SHORT_RLE
        self._pending.clear()
        self._pending_characters = 0

    def _judge_rle(self, rle: dict, number: int) -> tuple[int, tuple[float, ...], str | None]:
        size, counts = rle.get('size'), rle.get('counts')
        if not isinstance(size, list) or len(size) != 2 or any(type(side) is not int or side < 1 for side in size):
            return BROKEN_MASK, (0.0, 0.0, 0.0, 0.0), NO_SIZE
        if math.prod(size) > _MOST_PIXELS:
            return BROKEN_MASK, (0.0, 0.0, 0.0, 0.0), NO_SIZE
        numbers = (float(size[0]), float(size[1]), 0.0, 0.0)
        if isinstance(counts, str):
            self._pending.append((number, counts, math.prod(size)))
            self._pending_characters += len(counts)
            return RLE, numbers, None
        if not isinstance(counts, list) or not set(map(type, counts)) <= {int} or min(counts, default=0) < 0:
            return BROKEN_MASK, numbers, NO_COUNTS
        total = sum(counts)
        if total > math.prod(size):
            return BROKEN_MASK, numbers, NO_COUNTS
        return RLE, numbers, SHORT_RLE if total < math.prod(size) else None


def rle_totals(texts: tuple[str, ...] | list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Decode the counts of compressed RLEs, many at once.

    The format is that of `rleToString` in cocoapi's maskApi.c: numbers in groups of five bits, lowest first, with a
    bit that says whether more follow, written as characters from '0' on; from the fourth number on, what is written is
    the difference to the number two before.

    Args:
        texts: The 'counts' of N RLEs.

    Returns:
        How many pixels the runs of each cover, N int64, and whether each is a text of that format whose runs are not
        negative, N bool.
    """
    whole = np.array([bool(text) and text.isascii() for text in texts], dtype=bool)
    lengths = np.array([len(text) if good else 0 for text, good in zip(texts, whole, strict=True)], dtype=np.int64)
    totals = np.zeros(len(texts), np.int64)
    if not lengths.any():
        return totals, whole
    joined = ''.join(text for text, good in zip(texts, whole, strict=True) if good).encode('ascii')
    characters = np.frombuffer(joined, np.uint8).astype(np.int64) - 48
    owner = np.repeat(np.arange(len(texts)), lengths)
    outside = (characters < 0) | (characters > 63)
    # A text that breaks off inside of a number must not go on in the next one.
    last_of_text = np.cumsum(lengths)[lengths > 0] - 1
    outside[last_of_text] |= (characters[last_of_text] & 32) > 0
    last = (characters & 32) == 0
    last[last_of_text] = True
    starts = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1])
    place = np.arange(len(characters)) - np.repeat(starts, np.diff(np.append(starts, len(characters))))
    outside |= place > 6
    whole[owner[outside]] = False
    bits = 5 * np.minimum(place, 6)
    ends = np.flatnonzero(last)
    values = np.add.reduceat((characters & 31) << bits, starts)
    values -= np.where(characters[ends] & 16, np.left_shift(1, bits[ends] + 5), 0)
    runs, owner = _undo_differences(values, owner[ends], len(texts))
    whole[owner[runs < 0]] = False
    np.add.at(totals, owner, runs)
    return totals, whole


def _undo_differences(values: np.ndarray, owner: np.ndarray, texts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the runs for the numbers as they are written, and which text each belongs to, ordered for summation."""
    first = np.searchsorted(owner, np.arange(texts))
    place = np.arange(len(values)) - first[owner]
    # Three chains for each text: the first number alone, the odd ones, and the even ones from 2 on.
    chain = np.where(place == 0, 0, 2 - place % 2) + 3 * owner
    order = np.argsort(chain, kind='stable')
    sums = np.cumsum(values[order])
    chain = chain[order]
    begin = np.append(0, np.flatnonzero(np.diff(chain)) + 1)
    before = np.append(0, sums)[begin]
    return sums - np.repeat(before, np.diff(np.append(begin, len(chain)))), owner[order]


def decoding_fault(segmentation: Any, height: int, width: int) -> str | None:
    """Why one mask must not be given to pycocotools for an image of this size; None if it may.

    Unlike the checks of files, this finds what ends the process or lies on another image, and lets pass what mmdet
    leaves out by itself.
    """
    reader = MaskReader()
    reader.add(segmentation)
    reader.finish()
    fault = reader.faults.get(0)
    if fault is not None and fault not in DROPPED_FAULTS:
        return fault
    return misplaced(reader.kinds[0], tuple(reader.numbers), height, width)


def misplaced(kind: int, numbers: tuple[float, ...], height: float, width: float) -> str | None:
    """What is wrong with the size of an RLE, or with the extent of a polygon, in an image of this size.

    Args:
        kind, numbers: As in `MaskReader`.
        height, width: Of the image, in pixels.
    """
    first, second, right, bottom = numbers
    if kind == RLE and (first, second) != (height, width):
        return (
            f'has an RLE of {second:.0f}x{first:.0f} pixels in an image of {width:.0f}x{height:.0f} (size is height, '
            'width)'
        )
    if kind == POLYGON and max(-first / width, -second / height, right / width, bottom / height) > FAR:
        return (
            f'has points far out of its image: x from {first:g} to {right:g}, y from {second:g} to {bottom:g}, in '
            f'{width:.0f}x{height:.0f} pixels'
        )
    return None


def _judge_polygons(parts: list) -> tuple[int, tuple[float, ...], str | None]:
    left, top, right, bottom = math.inf, math.inf, -math.inf, -math.inf
    whole = 0
    for part in parts:
        if not isinstance(part, list):
            fault = NESTED_RLE if isinstance(part, dict) else FLAT_POLYGON if len(parts) > 1 else NO_FORMAT
            return BROKEN_MASK, (0.0, 0.0, 0.0, 0.0), fault
        try:
            # The sum of a list with NaN, an infinite number or a text is no finite number.
            if not math.isfinite(sum(part)):
                return BROKEN_MASK, (0.0, 0.0, 0.0, 0.0), NO_NUMBERS
            # Parts of too few points count too: pycocotools draws them all the same.
            if len(part) > 1:
                x, y = part[::2], part[1::2]
                left, right = min(left, float(min(x))), max(right, float(max(x)))
                top, bottom = min(top, float(min(y))), max(bottom, float(max(y)))
        except (TypeError, OverflowError):
            return BROKEN_MASK, (0.0, 0.0, 0.0, 0.0), NO_NUMBERS
        whole += len(part) > 5 and len(part) % 2 == 0
    if not whole:
        return BROKEN_MASK, (0.0, 0.0, 0.0, 0.0), FEW_POINTS
    fault = None
    if whole < len(parts):
        fault = FEW_POINTS_AT_FIRST if len(parts[0]) < 5 else FEW_POINTS_IN_PART
    return POLYGON, (left, top, right, bottom), fault
