"""Files that are either whole or absent."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, with the same suffix; rename it to `path` when the block succeeds.

    Missing parent folders are made. After an error nothing of the file is left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # As long as the names of files may be, a longer one made of it would not do.
    temporary = path.with_name(f'.{os.getpid()}-{zlib.crc32(os.fsencode(path.name)):08x}{path.suffix}')
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
