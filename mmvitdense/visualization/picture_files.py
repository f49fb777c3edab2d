"""Pictures as files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mmvitdense.whole_files import written_whole


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write a BGR picture or a single-channel map in the format of the suffix of `path`."""
    done, content = cv2.imencode(Path(path).suffix, image)
    if not done:
        raise OSError(f'OpenCV could not write {path} (array of shape {image.shape}, {image.dtype}).')
    with written_whole(path) as temporary:
        temporary.write_bytes(content)  # names that are no text are names for Python, not for OpenCV
