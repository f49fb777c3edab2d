"""Frames of videos and cameras, and pictures as a video."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from .errors import InputError

LIVE = ('rtsp', 'rtmp', 'rtp', 'udp', 'tcp')
"""Schemes of addresses that are streams."""
_FORMATS = {'.mp4': 'mp4v', '.m4v': 'mp4v', '.mov': 'mp4v', '.avi': 'MJPG', '.mkv': 'mp4v', '.webm': 'VP80'}
_RATE = 25.0


def video_frames(path: str | Path) -> Iterator[np.ndarray]:
    """The frames of a video file, H x W x 3 in BGR order, one in memory at a time.

    Raises:
        InputError: It cannot be read, or has no frames.
    """
    capture = _opened(path)
    return _read(capture, f'{path} is not a video that can be read: it has no frames')


def camera_frames(camera: int | str) -> Iterator[np.ndarray]:
    """The frames of a camera, by its number, or of a stream, by its address, until it ends.

    Raises:
        InputError: There is no such camera.
    """
    capture = cv2.VideoCapture(camera)
    if not capture.isOpened():
        name = f'camera {camera}' if isinstance(camera, int) else camera
        raise InputError(f'OpenCV cannot open {name}; expected the number of a camera of this machine, or a stream.')
    return _read(capture, f'camera {camera} gives no frames')


def count_frames(path: str | Path) -> int | None:
    """How many frames a video says that it has; None if it does not."""
    capture = _opened(path)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return count if count > 0 else None


def frame_rate(path: str | Path) -> float:
    """Frames in a second of a video, 25 where it does not say."""
    capture = _opened(path)
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return rate if 0 < rate < 1000 else _RATE


class VideoWriter:
    """Writes pictures as a video; used with `with`, which finishes the file.

    Args:
        path: `.mp4`, `.avi`, `.mkv`, `.mov`, `.m4v` or `.webm`.
        rate: Frames in a second.

    Raises:
        InputError: It cannot be written.
    """

    def __init__(self, path: str | Path, rate: float = _RATE):
        self.path = Path(path)
        suffix = self.path.suffix.lower()
        if suffix not in _FORMATS:
            raise InputError(f'{path} is no name of a video; expected one that ends in {", ".join(_FORMATS)}.')
        self._code = cv2.VideoWriter_fourcc(*_FORMATS[suffix])
        self._rate = rate
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, picture: np.ndarray) -> None:
        """Add a picture, H x W x 3, BGR, uint8; of another size than the first it is cut or filled at its end."""
        if self._writer is None:
            self._open(picture.shape[1], picture.shape[0])
        width, height = self._size
        if picture.shape[:2] != (height, width):
            canvas = np.zeros((height, width, 3), np.uint8)
            part = picture[:height, :width]
            canvas[: part.shape[0], : part.shape[1]] = part
            picture = canvas
        self._writer.write(picture)

    def _open(self, width: int, height: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Codecs halve the colours: they take even sizes alone.
        self._size = (max(2, width - width % 2), max(2, height - height % 2))
        self._writer = cv2.VideoWriter(str(self.path), self._code, self._rate, self._size)
        if not self._writer.isOpened():
            raise InputError(f'OpenCV cannot write the video {self.path}; try a name that ends in .avi.')

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()


def _opened(path: str | Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(os.fspath(path))
    if not capture.isOpened():
        raise InputError(f'{path} is not a video that can be read.')
    return capture


def _read(capture: cv2.VideoCapture, if_none: str) -> Iterator[np.ndarray]:
    number = 0
    try:
        while True:
            whole, frame = capture.read()
            if not whole:
                break
            number += 1
            yield frame
    finally:
        capture.release()
    if number == 0:
        raise InputError(f'{if_none}.')
