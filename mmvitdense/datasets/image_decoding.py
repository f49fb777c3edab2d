"""Images read from bytes, JPEGs that lack their last bytes included."""

from __future__ import annotations

import mmcv
import numpy as np

_START, _END = b'\xff\xd8', b'\xff\xd9'
# Something else than silence after the cut: whatever depends on it is what the file lacks.
_BLOCK = 16
_NOISE = bytes(value % 254 + 1 for value in range(7, 7 + 37 * 256, 37))
LARGEST_LOSS = 1 / 16
"""Which share of its pixels an image may lack: more, and the objects that are marked in it may not be there."""


class UnreadableImageError(ValueError):
    """Bytes that are no whole image; the message says what is wrong with them, without a full stop."""


def decode_image(content: bytes, flag: str = 'color', backend: str | None = None) -> tuple[np.ndarray, int]:
    """Decode an image as mmcv's `LoadImageFromFile` does, or a JPEG that was cut near its end.

    OpenCV refuses a JPEG that lacks a single byte. Here it is read as Pillow reads it with `LOAD_TRUNCATED_IMAGES`,
    and browsers and older OpenCV do: what is missing becomes grey.

    Args:
        content: The bytes of the file.
        flag: How to read colours and orientation, as `mmcv.imfrombytes` takes it.
        backend: Who decodes, as `mmcv.imfrombytes` takes it.

    Returns:
        H x W x C or H x W, and from how many of the H rows something is missing, the
        last ones.

    Raises:
        UnreadableImageError: If it cannot be decoded, or lacks more than 1/16 of its pixels.
    """
    problem = 'it is empty'
    if content:
        try:
            image = mmcv.imfrombytes(content, flag=flag, backend=backend)
            problem = 'it is cut short or no image'
            if image is not None:
                return image, 0
        except Exception as error:  # each backend and format has errors of its own
            problem = ' '.join(str(error).split()) or repr(error)
    if content[:2] != _START:
        raise UnreadableImageError(problem)
    image = _decode_cut_jpeg(content, _END, flag)
    if image is None:
        raise UnreadableImageError(problem)
    rows, share = _missing(image, _decode_cut_jpeg(content.rstrip(b'\xff'), _NOISE + _END, flag))
    if share > LARGEST_LOSS:
        raise UnreadableImageError(f'it is cut short, {share:.0%} of its pixels are missing')
    return image, rows


def _decode_cut_jpeg(content: bytes, end: bytes, flag: str) -> np.ndarray | None:
    try:
        return mmcv.imfrombytes(content + end, flag=flag, backend='cv2')
    except Exception:  # OpenCV's errors are of several types
        return None


def _missing(image: np.ndarray, other: np.ndarray | None) -> tuple[int, float]:
    """Return from how many rows something is missing, and which share of the pixels.

    What depends on the bytes after the cut is missing, and whatever follows in the order of the file: rows of blocks of
    up to 16 x 16 pixels, each from left to right.
    """
    height, width = image.shape[:2]
    if other is None or other.shape != image.shape:
        return height, 1.0
    differs = (image != other).reshape(height, width, -1).any(2)
    if not differs.any():
        return 0, 0.0
    first = int(differs.any(1).argmax())
    present = int(differs[first : first + _BLOCK].any(0).argmax())
    rows = height - first
    return rows, (rows * width - min(rows, _BLOCK) * present) / (height * width)
