"""What the allocator of the C library does with memory that is freed."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

_TRIM, _MMAP = -1, -3
"""`M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of glibc's malloc.h."""
_KEPT, _MAPPED = 2**30, 2**28
_VARIABLES = ('MALLOC_TRIM_THRESHOLD_', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_TOP_PAD_', 'GLIBC_TUNABLES', 'LD_PRELOAD')


@cache
def keep_freed_memory() -> bool:
    """Have glibc keep up to 1 GiB that is freed, of blocks below 256 MiB, for what is asked next; whether it does.

    By default it hands large blocks back to the system, which fills them with zeros, page by page, when they are asked
    for again: 19000 pages in a forward pass of ViT-CoMer. Nothing is changed where another C library or allocator
    is used, or where the environment says what malloc is to do.
    """
    if platform.libc_ver()[0] != 'glibc' or any(os.environ.get(name) for name in _VARIABLES):
        return False
    libc = ctypes.CDLL(None)
    sizes = {_TRIM: _KEPT, _MMAP: _MAPPED}
    return all(libc.mallopt(ctypes.c_int(what), ctypes.c_int(size)) for what, size in sizes.items())
