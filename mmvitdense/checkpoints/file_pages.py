"""Giving back memory that holds pages of a mapped file."""

from __future__ import annotations

import ctypes
import os
import sys

_MADV_DONTNEED = 4


def release_file_pages(path: str | os.PathLike) -> None:
    """Let go of the pages of a mapped checkpoint that were read; they are read again if they are needed.

    A mapped file fills memory as its tensors are read, and a copy of them is made in the model: without this, loading
    takes the size of the file twice at its peak. Nothing must have been written to the tensors of the file. Does
    nothing on systems other than Linux, or for a file that is not mapped.

    Args:
        path: The file that was read.
    """
    if not sys.platform.startswith('linux'):
        return
    path = os.path.realpath(path)
    try:
        madvise = ctypes.CDLL(None, use_errno=True).madvise
        with open('/proc/self/maps', encoding='utf-8', errors='surrogateescape') as lines:
            maps = [line.rstrip('\n').split(maxsplit=5) for line in lines]
    except (OSError, AttributeError):
        return
    for parts in maps:
        if len(parts) == 6 and parts[5] == path:
            start, end = (int(address, 16) for address in parts[0].split('-'))
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)
