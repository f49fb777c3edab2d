"""Images of a data set: their sizes, digests of their bytes, and names in a converted data set."""

from __future__ import annotations

import hashlib
import os
import os.path as osp
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mmvitdense.progress import bar

from ..checks.image_files import image_size
from ..checks.messages import DataError
from .files import Files, plain

_AT_ONCE = 256
_CHUNK = 1 << 20


def each_of(paths: Sequence[str], work: Callable[[str], Any], what: str) -> dict[str, Any]:
    """Return {path: what `work` makes of it}, in threads, with a bar of progress where it takes long."""
    paths, found = list(dict.fromkeys(paths)), {}
    with bar(len(paths), what) as advance, ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        for begin in range(0, len(paths), _AT_ONCE):
            part = paths[begin : begin + _AT_ONCE]
            found.update(zip(part, pool.map(work, part), strict=True))
            advance(len(part))
    return found


def sizes_of(paths: Sequence[str]) -> dict[str, tuple[int, int] | str]:
    """Return {path: (width, height) as it is loaded, or what is wrong with the file}."""
    return each_of(paths, _size, 'Reading the sizes of the images')


def digests_of(paths: Sequence[str]) -> dict[str, str]:
    """Return {path: digest of its bytes}."""
    return each_of(paths, digest, 'Comparing the images')


def digest(path: str) -> str:
    """A digest of the bytes of a file."""
    total = hashlib.sha256()
    with open(path, 'rb') as file:
        while part := file.read(_CHUNK):
            total.update(part)
    return total.hexdigest()


def same_bytes(paths: Iterable[str]) -> list[list[str]]:
    """Groups of files with the same bytes; files of a size of their own are not read."""
    by_size: dict[int, list[str]] = {}
    for path in dict.fromkeys(paths):
        by_size.setdefault(osp.getsize(path), []).append(path)
    suspects = [path for group in by_size.values() if len(group) > 1 for path in group]
    groups: dict[str, list[str]] = {}
    for path, found in digests_of(suspects).items():
        groups.setdefault(found, []).append(path)
    return [group for group in groups.values() if len(group) > 1]


def short_names(paths: Sequence[str], files: Files) -> list[str]:
    """Names for images in one folder: their own, with the folders before it where several have the same."""
    counts = Counter(plain(osp.basename(path)) for path in paths if path)
    return [
        osp.basename(path) if counts[plain(osp.basename(path))] == 1 else files.relative(path) if path else ''
        for path in paths
    ]


def _size(path: str) -> tuple[int, int] | str:
    if not osp.isfile(path):
        return 'it is not there'
    if not osp.getsize(path):
        return 'it is empty (0 bytes)'
    try:
        return image_size(path, '')
    except DataError as error:
        text = str(error).removeprefix(': ').removeprefix(path)
        return text.partition(': replace it')[0].strip()
