"""Panoptic quality (arXiv 1801.00868 section 4) and segment ids as colours: what mmdet asks of panopticapi."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

VOID = 0
"""Id of pixels without a segment."""

OFFSET = 2**24
"""One more than the largest id."""


@dataclass
class ClassStatistics:
    """Matches of one class: their number and summed IoU, and the segments without a match."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    iou: float = 0.0

    def add(self, other: ClassStatistics) -> None:
        self.tp += other.tp
        self.fp += other.fp
        self.fn += other.fn
        self.iou += other.iou

    def qualities(self) -> dict[str, float]:
        """Panoptic, segmentation and recognition quality; 0 where the class does not occur."""
        segments = self.tp + 0.5 * self.fp + 0.5 * self.fn
        return {
            'pq': self.iou / segments if segments else 0.0,
            'sq': self.iou / self.tp if self.tp else 0.0,
            'rq': self.tp / segments if segments else 0.0,
        }


class PQStat:
    """Matches of all classes, by category id. Adds up over images with `+=`."""

    def __init__(self) -> None:
        self._classes: defaultdict[int, ClassStatistics] = defaultdict(ClassStatistics)

    def __getitem__(self, category: int) -> ClassStatistics:
        return self._classes[category]

    def __iadd__(self, other: PQStat) -> PQStat:
        for category, statistics in other._classes.items():
            self._classes[category].add(statistics)
        return self

    def pq_average(self, categories: dict, isthing: bool | None) -> tuple[dict, dict]:
        """Average over the categories that occur.

        Args:
            categories: Category id to a dict with `isthing`.
            isthing: True for things alone, False for stuff alone, None for both.

        Returns:
            The averages `pq`, `sq` and `rq`, from 0 to 1, with the number `n` of categories that they are of,
            and the qualities of each category, those that do not occur included.
        """
        chosen = [key for key, item in categories.items() if isthing is None or bool(item['isthing']) == isthing]
        each = {category: self[category].qualities() for category in chosen}
        occurring = [
            each[category] for category in chosen if self[category].tp + self[category].fp + self[category].fn > 0
        ]
        number = len(occurring)
        average = {key: sum(item[key] for item in occurring) / max(number, 1) for key in ('pq', 'sq', 'rq')}
        return {**average, 'n': number}, each


def rgb2id(colour: np.ndarray | list[int] | tuple[int, int, int]) -> np.ndarray | int:
    """Ids of colours, red + 256 green + 65536 blue: H x W x 3 to H x W of int32, or one colour to one number."""
    if isinstance(colour, np.ndarray) and colour.ndim == 3:
        red, green, blue = (colour[..., channel].astype(np.int32) for channel in range(3))
        return red + (green << 8) + (blue << 16)
    return int(colour[0]) + 256 * int(colour[1]) + 65536 * int(colour[2])


def id2rgb(ids: np.ndarray | int) -> np.ndarray | list[int]:
    """Colours of ids: an array to uint8 with a last axis of red, green and blue, or one number to three."""
    if isinstance(ids, np.ndarray):
        return np.stack([ids >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)
    return [ids >> shift & 255 for shift in (0, 8, 16)]
