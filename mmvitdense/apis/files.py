"""Output files: JSON, and names that are refused before the work that they are for."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from mmvitdense.whole_files import written_whole

from .errors import InputError


def write_json(path: str | Path, content: Any, indent: int | None = 2) -> None:
    """Write `content` as JSON; numbers that JSON does not know (NaN, infinity) become null."""
    text = json.dumps(_plain(content), indent=indent, allow_nan=False)
    with written_whole(path) as temporary:
        temporary.write_text(text + '\n', encoding='utf-8')


def check_output_file(path: str | Path, option: str) -> None:
    """Refuse a name under which no file could be written, before the work that the file is for.

    Raises:
        InputError: it is a folder, or its folder is a file or may not be written to.
    """
    if Path(path).is_dir():
        raise InputError(f'{option} {path} is a folder; expected the name of a file.')
    check_output_folder(Path(path).parent, option)


def check_output_folder(folder: str | Path, option: str) -> None:
    """Refuse a folder that could not be made or written to.

    Raises:
        InputError: it, or a folder above it, is a file, or it may not be written to.
    """
    nearest = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f'{option} {folder}: {nearest} is a file, so there can be no such folder. Give another name.')
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f'{option} {folder}: the folder {nearest} may not be written to. Give another name.')


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
