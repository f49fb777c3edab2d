"""A list of colours and what they mean, beside a picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .lettering import text_size, write_text

_PAPER, _INK = (255, 255, 255), (0, 0, 0)


def with_legend(picture: np.ndarray, entries: Sequence[tuple[str, tuple[int, int, int]]]) -> np.ndarray:
    """Add a legend on the right of a picture.

    Args:
        picture: H x W x 3, BGR, uint8.
        entries: Names and colours (blue, green, red), in the order of the list.

    Returns:
        H x (W + width of the legend) x 3: as many columns as the height asks for. The picture itself if there are no
        entries.
    """
    if not entries:
        return picture
    scale = text_scale(picture)
    line = int(30 * scale)
    patch, gap = int(0.7 * line), int(0.3 * line)
    widths = [text_size(name, scale)[0][0] for name, _ in entries]
    per_column = max(1, (picture.shape[0] - gap) // line)
    parts = [picture]
    for start in range(0, len(entries), per_column):
        stop = min(start + per_column, len(entries))
        column = np.full((picture.shape[0], max(widths[start:stop]) + patch + 3 * gap, 3), _PAPER, np.uint8)
        for row, (name, colour) in enumerate(entries[start:stop]):
            top = gap + row * line
            cv2.rectangle(column, (gap, top), (gap + patch, top + patch), colour, cv2.FILLED)
            place = (2 * gap + patch, top + patch - int(2 * scale))
            write_text(column, name, place, scale, _INK)
        parts.append(column)
    return np.concatenate(parts, axis=1)


def text_scale(picture: np.ndarray) -> float:
    """The size of letters that can be read on a picture of this size."""
    return 0.4 * max(1.0, max(picture.shape[:2]) / 1000)
