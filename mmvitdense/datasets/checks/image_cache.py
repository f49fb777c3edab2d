"""Which image files were found whole before, so that each is decoded once and not once a run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os

from mmvitdense.ops.building import cache_root

Found = tuple[int, int, int]
"""Width, height, and how many rows are missing at the end."""


class ImageCache:
    """Remembers images by path, size in bytes and time of change, in a file for each data set.

    The files are in the cache folder of the package. Where nothing can be written there, nothing is remembered.

    Args:
        name: What the images have in common and how they are decoded.
    """

    def __init__(self, name: str):
        self._file = cache_root() / 'images' / f'{hashlib.sha256(name.encode()).hexdigest()[:32]}.json'
        self._entries: dict[str, list[int]] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError):
            entries = json.loads(self._file.read_text(encoding='utf-8'))
            if isinstance(entries, dict):
                self._entries = entries

    def get(self, path: str) -> Found | None:
        """Return what was found in a file if it is still the same file, else None."""
        entry = self._entries.get(os.path.abspath(path))
        return tuple(entry[2:]) if entry and entry[:2] == _stamp(path) else None

    def put(self, path: str, found: Found) -> None:
        """Remember what was found in a file."""
        if stamp := _stamp(path):
            self._entries[os.path.abspath(path)] = [*stamp, *found]
            self._changed = True

    def save(self) -> None:
        """Write what is new, whole or not at all."""
        if not self._changed:
            return
        partial = self._file.with_name(f'{self._file.name}.{os.getpid()}')
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(self._entries), encoding='utf-8')
            os.replace(partial, self._file)
        self._changed = False


def _stamp(path: str) -> list[int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
