"""Published data sets fetched, checked and unpacked to where the configs expect them."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from mmvitdense.datasets.published import DATA_SETS, Archive, PublishedData
from mmvitdense.downloads import download
from mmvitdense.progress import bar

from .cityscapes_maps import write_train_ids
from .errors import InputError
from .logins import cityscapes_cookie

_CHUNK = 1 << 20
ROOM = 2.1
"""Times the size of an archive that are needed: it and what is in it, which is images that no zip makes smaller."""


def download_data(
    name: str,
    folder: str | Path = 'data',
    parts: Sequence[str] | None = None,
    keep: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Fetch a data set.

    An archive whose content is there is left out. What was interrupted goes on where it ended. Each archive is unpacked
    beside its place and moved there when it is whole, then removed.

    Args:
        name: One of `DATA_SETS`.
        folder: Where data sets lie; the configs expect `data`.
        parts: Which archives, by name; by default all.
        keep: Whether the archives stay, in `.archives` of the data set.
        say: Called with a line for each archive.

    Returns:
        The folder of the data set.

    Raises:
        InputError: There is no such data set or part, some of an archive's content is there, it is broken, or there is
            no room.
        DownloadError: It cannot be fetched, or is not what was published.
    """
    data = DATA_SETS[name]
    parts = [*data.archives] if parts is None else parts
    if unknown := [part for part in parts if part not in data.archives]:
        raise InputError(f'{name} has no part {unknown[0]!r}; expected some of {", ".join(data.archives)}.')
    root = Path(folder) / data.folder
    wanted = {part: data.archives[part] for part in parts if not _is_there(root, data.archives[part])}
    for part in parts:
        if part not in wanted:
            say(f'{part}: is there, in {root}')
    _check_room(root, wanted)
    say(f'Terms of {name}: {data.licence}')
    cookie = _login(data) if wanted else None
    for part, archive in wanted.items():
        say(f'{part}: {archive.gigabytes:g} GB from {archive.url}')
        _place(root, part, archive, keep, cookie)
    if data.login:
        write_train_ids(root / 'gtFine')
    return root


def _login(data: PublishedData) -> str | None:
    return cityscapes_cookie() if data.login else None


def _is_there(root: Path, archive: Archive) -> bool:
    """Whether all that an archive holds is there; some of it is nobody's to overwrite."""
    found = [path for path in archive.creates if os.path.lexists(root / path)]
    if found and len(found) < len(archive.creates):
        raise InputError(
            f'{root / found[0]} is there, and other files of {archive.url} are not: move it away, nothing is written '
            'over it.'
        )
    return bool(found)


def _check_room(root: Path, wanted: dict[str, Archive]) -> None:
    if not wanted:
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(root).free / 1e9
    except OSError as error:
        raise InputError(f'--dir: {root} cannot be made ({error.strerror}): give another folder.') from error
    # An archive is removed before the next one comes.
    content = sum(archive.gigabytes for archive in wanted.values())
    needed = content + (ROOM - 1) * max(archive.gigabytes for archive in wanted.values())
    if free < needed:
        raise InputError(
            f'--dir: {root} has {free:.1f} GB left and about {needed:.1f} GB are needed: make room, or give another '
            'folder.'
        )


def _place(root: Path, part: str, archive: Archive, keep: bool, cookie: str | None) -> None:
    store = root / '.archives'
    target = store / f'{part}.zip'
    try:
        store.mkdir(exist_ok=True)
        if not target.is_file():
            url = f'{archive.url}#md5={archive.md5}' if archive.md5 else archive.url
            download(url, target, store / f'{part}.zip.part', cookie=cookie)
        _unpack(target, root, archive)
        if not keep:
            target.unlink()
            if not any(store.iterdir()):
                store.rmdir()
    except OSError as error:
        raise InputError(
            f'{root}: cannot be written ({error.strerror or error}): make room, or give another folder with --dir; '
            'what is fetched is kept.'
        ) from error


def _unpack(file: Path, root: Path, archive: Archive) -> None:
    """Unpack beside the place, then move what is expected there; each file has the check sum that the zip gives."""
    temporary = Path(tempfile.mkdtemp(prefix='.unpacking-', dir=root))
    try:
        with zipfile.ZipFile(file) as content:
            members = [member for member in content.infolist() if not member.is_dir()]
            with bar(sum(member.file_size for member in members), f'unpacking {file.name}', in_bytes=True) as advance:
                for member in members:
                    _write(content, member, temporary / archive.into, advance)
        missing = [path for path in archive.creates if not (temporary / path).exists()]
        if missing:
            raise InputError(f'{file}: has no {missing[0]}; remove it, so that it is fetched again.')
        for path in archive.creates:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            os.rename(temporary / path, root / path)
    except (zipfile.BadZipFile, EOFError) as error:
        file.unlink()
        raise InputError(f'{file}: is a broken zip ({error}) and was removed; try again.') from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(content: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, advance: Callable[[int], None]) -> None:
    path = PurePosixPath(member.filename)
    if path.is_absolute() or '..' in path.parts or '\\' in member.filename:
        raise InputError(f'{content.filename}: holds {member.filename!r}, which leads out of its folder.')
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with content.open(member) as source, open(target, 'wb') as file:
        while chunk := source.read(_CHUNK):
            file.write(chunk)
            advance(len(chunk))
