"""Giving back memory that holds pages of a mapped file."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable

from torch import Tensor

from .shards import paths_of

_MADV_DONTNEED = 4


class FilePages:
    """The pages of a file into which tensors are mapped.

    A mapped file fills memory as its tensors are read, and a copy of them is made in the model: without giving pages
    back, loading takes the size of the file twice at its peak. Only mappings that hold one of the given tensors are
    touched: whoever mapped the same file besides may have written to it, which giving back would undo.

    Args:
        path: The file that was read, or the index of several.
        tensors: What was read from it and nothing was written to. One tensor of each mapping is kept, so that
            nothing else can be at its address. Tensors that are not mapped from the file are of no account.
    """

    def __init__(self, path: str | os.PathLike, tensors: Iterable[Tensor]):
        self._ranges: dict[tuple[int, int], Tensor] = {}
        mappings = [found for part in paths_of(path) for found in _mappings(os.path.realpath(part))]
        for tensor in tensors:
            address = tensor.data_ptr()
            found = next((part for part in mappings if part[0] <= address < part[1]), None)
            if found is not None and tensor.nbytes:
                self._ranges.setdefault(found, tensor)

    def release(self) -> None:
        """Let go of the pages that were read; they are read again if they are needed. Does nothing but on Linux.

        So goes what was freed of tensors that are not mapped, which the allocator of C keeps otherwise.
        """
        for start, end in self._ranges:
            madvise = ctypes.CDLL(None, use_errno=True).madvise
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)
        if sys.platform.startswith('linux'):
            trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)  # of glibc
            if trim is not None:
                trim(0)


def _mappings(path: str) -> list[tuple[int, int]]:
    """The ranges of addresses into which this process has mapped a file."""
    if not sys.platform.startswith('linux'):
        return []
    try:
        with open('/proc/self/maps', encoding='utf-8', errors='surrogateescape') as lines:
            maps = [line.rstrip('\n').split(maxsplit=5) for line in lines]
    except OSError:
        return []
    found = [parts[0].split('-') for parts in maps if len(parts) == 6 and parts[5] == path]
    return [(int(start, 16), int(end, 16)) for start, end in found]
