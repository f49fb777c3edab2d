"""Output files that are either whole or absent."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, with the same suffix; rename it to `path` when the block succeeds.

    Missing parent folders are made. After an error nothing of the file is left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}{path.suffix}')
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, content: Any, indent: int | None = 2) -> None:
    """Write `content` as JSON; numbers that JSON does not know (NaN, infinity) become null."""
    text = json.dumps(_plain(content), indent=indent, allow_nan=False)
    with written_whole(path) as temporary:
        temporary.write_text(text + '\n', encoding='utf-8')


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write a BGR picture or a single-channel map in the format of the suffix of `path`."""
    with written_whole(path) as temporary:
        if not cv2.imwrite(str(temporary), image):
            raise OSError(f'OpenCV could not write {path} (array of shape {image.shape}, {image.dtype}).')


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
