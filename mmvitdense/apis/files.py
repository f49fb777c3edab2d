"""Output files: JSON, and names that are refused before the work that they are for."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable
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
        InputError: it is a folder, its name is too long, or its folder is a file or cannot be written to.
    """
    if os.path.isdir(path):
        raise InputError(f'{option} {path} is a folder; expected the name of a file.')
    check_output_folder(Path(path).parent, option)
    _check_names(Path(path).absolute(), option)


def check_output_folder(folder: str | Path, option: str) -> None:
    """Refuse a folder that could not be made or written to.

    Raises:
        InputError: it, or a folder above it, is a file, its name is too long, or nothing can be written there: it is
            read-only, or the disk is full.
    """
    path = Path(folder).absolute()
    nearest = _nearest(path)
    if not nearest.is_dir():
        raise InputError(f'{option} {folder}: {nearest} is a file, so there can be no such folder. Give another name.')
    _check_names(path, option)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f'{option} {folder}: the folder {nearest} may not be written to. Give another name.')
    try:
        # Permissions tell neither a full disk nor a file system that takes no files.
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(b'0')
    except OSError as error:
        raise InputError(
            f'{option} {folder}: the folder {nearest} cannot be written to ({error.strerror}). Make room, or give '
            'another name.'
        ) from error


def check_output_files(folder: str | Path, names: Iterable[str]) -> None:
    """Refuse a folder, which may be there or not, with something else in it that has the name of a file to be written.

    Raises:
        InputError: one of the names is that of a folder, or of a file that may not be written.
    """
    for path in (Path(folder, name) for name in names):
        if path.is_dir():
            raise InputError(f'{path} is a folder; a file of this name is written: move it, or give another folder.')
        if path.exists() and not os.access(path, os.W_OK):
            raise InputError(f'{path} may not be written to: change that, or give another folder.')


def check_score_thr(score_thr: float, option: str = '--score-thr') -> None:
    """Refuse a threshold that no score can have.

    Raises:
        InputError: it is not from 0 to 1.
    """
    if not 0 <= score_thr <= 1:
        raise InputError(f'{option} must be from 0 to 1, got {score_thr:g}.')


def _nearest(path: Path) -> Path:
    """The path, or what is there of the folders above it."""
    return next(part for part in (path, *path.parents) if os.path.exists(part))


def _check_names(path: Path, option: str) -> None:
    nearest = _nearest(path)
    try:
        longest = os.pathconf(nearest if nearest.is_dir() else nearest.parent, 'PC_NAME_MAX')
    except (AttributeError, OSError, ValueError):  # not on Windows
        return
    for name in path.relative_to(nearest).parts:
        if len(os.fsencode(name)) > longest:
            raise InputError(f'{option}: the name {name[:40]}... is too long; at most {longest} bytes are possible.')


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
