"""Files that are either whole or absent."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

_TEMPORARY = re.compile(r'\.\d+-[0-9a-f]{8}(\.\w+)?')
_CHUNK = 1 << 22


@contextmanager
def written_whole(path: str | Path, sync: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path`, with the same suffix; rename it to `path` when the block succeeds.

    Missing parent folders are made. After an error nothing of the file is left.

    Args:
        path: The file.
        sync: Wait until what was written is on the disk before it has its name, so that after a loss of power too the
            name stands for a whole file, the new one or the one before. Takes milliseconds for a small file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # As long as the names of files may be, a longer one made of it would not do.
    temporary = path.with_name(f'.{os.getpid()}-{zlib.crc32(os.fsencode(path.name)):08x}{path.suffix}')
    try:
        yield temporary
        if sync:
            _sync(temporary, os.O_RDWR)
        os.replace(temporary, path)
        if sync and os.name == 'posix':
            _sync(path.parent, os.O_RDONLY)
    finally:
        temporary.unlink(missing_ok=True)


def allow_as_new(path: Path) -> None:
    """Give a file the permissions of any new file; safetensors makes files that their owner alone can read."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def write_text_whole(path: str | Path, text: str) -> None:
    """Write a text file that is whole or as it was before, also after a loss of power."""
    with written_whole(path, sync=True) as temporary:
        temporary.write_text(text, encoding='utf-8')


def remove_torn_files(folder: str | Path, suffix: str) -> list[str]:
    """Delete what killed processes of `written_whole` left; return the names.

    Args:
        folder: A folder in which no process is writing such files now.
        suffix: That of the files, '' for none.
    """
    torn = [path for path in Path(folder).glob('.*') if _TEMPORARY.fullmatch(path.name) and path.suffix == suffix]
    for path in torn:
        path.unlink(missing_ok=True)
    return sorted(path.name for path in torn)


def damaged_part(path: str | Path) -> str | None:
    """The first part of a zip archive whose bytes do not have their check sum, None if there is none.

    A whole file is read through, at about 0.5 s for 1 GB that is in memory, but only once while it does not change.

    Raises:
        OSError, zipfile.BadZipFile: It cannot be read, or is no archive at all.
    """
    state = os.stat(path)
    return _damaged_part(os.path.realpath(path), state.st_size, state.st_mtime_ns, state.st_ino)


@lru_cache(maxsize=64)
def _damaged_part(path: str, *state: int) -> str | None:
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        # torch writes zeros where it was asked not to compute check sums (`torch.serialization.set_crc32_options`).
        if not any(part.CRC for part in parts):
            return None
        for part in parts:
            try:
                with archive.open(part) as content:
                    while content.read(_CHUNK):
                        pass
            except (zipfile.BadZipFile, zlib.error, EOFError):
                return part.filename
    return None


def _sync(path: Path, flags: int) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems have no such call for folders
            raise
    finally:
        os.close(descriptor)
