"""Weights in several files whose index is given by its http(s) address: the parts are fetched from beside it."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from mmvitdense.downloads import fetched

from . import shards
from .shards import places_of


def is_index(address: str) -> bool:
    """Whether an http(s) address is that of an index."""
    # By the text: what is no address at all is for `fetched` to refuse.
    return shards.is_index(re.split('[?#]', address)[0])


def fetched_with_parts(address: str) -> str:
    """Fetch an index and all parts that it names.

    Returns:
        The index in a folder of torch's hub cache, where the parts are beside it under their names.

    Raises:
        DownloadError: One of them cannot be fetched.
        BrokenIndexError: It is no index, or names a file elsewhere.
    """
    index = fetched(address)
    folder = Path(f'{index}.parts')
    folder.mkdir(exist_ok=True)
    for name in sorted(set(places_of(index).values())):
        _link(fetched(_beside(address, name)), folder / name)
    path = folder / Path(urlsplit(address).path).name
    _link(index, path)
    return str(path)


def _beside(address: str, name: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=f'{parts.path.rpartition("/")[0]}/{quote(name)}'))


def _link(file: str, path: Path) -> None:
    """Give a file in the cache a second name, whole or not at all."""
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    temporary.symlink_to(os.path.abspath(file))
    os.replace(temporary, path)
