"""Text on pictures: OpenCV's letters, and those of a font for what OpenCV writes as question marks."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import cv2
import numpy as np

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_HEIGHT = 30
"""Size of the font in pixels at scale 1, at which its letters are as high as OpenCV's."""


def text_size(text: str, scale: float) -> tuple[tuple[int, int], int]:
    """Width and height in pixels of a line of text, and how far it goes below its base line."""
    if text.isascii():
        size, base = cv2.getTextSize(text, _FONT, scale, 1)
        return (size[0], size[1]), base
    font = _font(scale)
    above, below = font.getmetrics()
    return (round(font.getlength(text)), above - below), below


def write_text(picture: np.ndarray, text: str, place: tuple[int, int], scale: float, ink: tuple[int, int, int]) -> None:
    """Write a line into a picture, in place.

    Args:
        picture: H x W x 3, uint8.
        text: Any letters; those that matplotlib's font DejaVu Sans lacks, as of Chinese, become boxes.
        place: (x, y) of the left end of the base line.
        scale: As for `text_size`.
        ink: The colour, in the order of the picture's channels.
    """
    if text.isascii():
        cv2.putText(picture, text, place, _FONT, scale, ink, 1, cv2.LINE_AA)
        return
    from PIL import Image, ImageDraw

    cover = Image.new('L', picture.shape[1::-1])
    ImageDraw.Draw(cover).text(place, text, fill=255, font=_font(scale), anchor='ls')
    left, top, right, bottom = cover.getbbox() or (0, 0, 0, 0)
    part = np.s_[top:bottom, left:right]
    opacity = np.asarray(cover, np.float32)[part][..., None] / 255
    picture[part] = (picture[part] * (1 - opacity) + np.float32(ink) * opacity).round().astype(np.uint8)


@functools.lru_cache(maxsize=16)
def _font(scale: float) -> Any:
    import matplotlib
    from PIL import ImageFont

    file = Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf')
    return ImageFont.truetype(str(file), max(6, round(_HEIGHT * scale)))
