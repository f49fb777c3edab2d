"""Which files a person means who gives an image, a folder of images or an address."""

from __future__ import annotations

import glob
import mimetypes
import os
import re
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from mmvitdense.downloads import DownloadError, download

from .errors import InputError

_TYPES = mimetypes.MimeTypes()  # those that Python knows: the tables of a machine would make the choice its own
for _suffix in ('webp', 'avif', 'jfif', 'jp2', 'heic'):  # known to later versions of Python
    _TYPES.add_type(f'image/{_suffix}', f'.{_suffix}')
_UNTOLD = ('application/octet-stream', None)
_BEGINNING = b'{"config": '
_LARGEST = 2**30


OUTPUTS = ('vis', 'labels', 'predictions.json')
"""What the demo writes into its folder."""


@dataclass
class ImageFiles:
    """The files that were found.

    Attributes:
        images: Name -> path of what is an image by its content, or at least by its suffix.
        others: Names of the other files.
        unreadable: Name -> reason for folders that cannot be looked into.
    """

    images: dict[str, Path] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


@contextmanager
def image_files(source: str | Path, out_dir: Path | None) -> Iterator[ImageFiles]:
    """Give the images that `source` means; what is fetched for that is removed at the end.

    Args:
        source: An image file, a folder (with its subfolders, links followed; hidden files and folders are left out), a
            pattern of paths such as `photos/*.jpg` (`**` for subfolders), or the http(s) address of an image.
        out_dir: What an earlier demo wrote there, or to another folder below `source`, is left out; None for no folder.

    Raises:
        InputError: there is nothing at `source`, or no image in it.
    """
    text = str(source)
    if '://' in text:
        with tempfile.TemporaryDirectory() as folder:
            path = fetch(text, Path(folder))
            yield ImageFiles({path.name: path})
        return
    path = Path(source)
    if text and os.path.isdir(path):
        yield _in_folder(path, out_dir)
        return
    if glob.has_magic(text) and not os.path.lexists(path):
        yield _matching(text)
        return
    if not text or not os.path.lexists(path):
        raise InputError(f'{text or "The empty name"} does not exist; expected an image or a folder of images.')
    yield ImageFiles({path.name: path})


def matching(pattern: str) -> list[str]:
    """The files whose paths a pattern matches, in order.

    Raises:
        InputError: There are none.
    """
    paths = [path for path in sorted(glob.glob(pattern, recursive=True)) if not os.path.isdir(path)]
    if not paths:
        raise InputError(f'No file has a name like {pattern}; expected images.')
    return paths


def _matching(pattern: str) -> ImageFiles:
    """The images among them, named by their paths below the folder that they have in common."""
    paths = [Path(path) for path in matching(pattern)]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    images = {path.relative_to(root).as_posix(): path for path in paths if _is_image(path)}
    others = [path.relative_to(root).as_posix() for path in paths if not _is_image(path)]
    if not images:
        raise InputError(f'None of the {len(others)} files with names like {pattern} is an image ({_listed(others)}).')
    return ImageFiles(images, others)


def _in_folder(folder: Path, out_dir: Path | None) -> ImageFiles:
    found = ImageFiles()
    written = {(out_dir / name).resolve() for name in OUTPUTS} if out_dir else set()
    _look_into(folder, folder, found, written)
    if found.images:
        return found
    if found.unreadable:
        raise InputError(f'{folder} has no images in it that can be reached: {next(iter(found.unreadable.values()))}.')
    others = f'; the {len(found.others)} files in it are none ({_listed(found.others)})' if found.others else ''
    advice = '. Give a video by its own path' if any(map(is_video, found.others)) else ''
    raise InputError(f'{folder} has no images in it{others}{advice}.')


def _look_into(folder: Path, root: Path, found: ImageFiles, seen: set[Path]) -> None:
    """Add what is in a folder and, once each, in its subfolders; `seen` are the folders that are done with."""
    seen.add(folder.resolve())
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        found.unreadable[folder.relative_to(root).as_posix() + '/'] = f'{folder} cannot be read: {error.strerror}'
        return
    if _is_output(folder):
        paths = [path for path in paths if path.name not in OUTPUTS]
    for path in paths:
        if path.name.startswith('.'):
            continue
        name = path.relative_to(root).as_posix()
        if os.path.isdir(path):
            if path.resolve() not in seen:
                _look_into(path, root, found, seen)
        elif _is_image(path):
            found.images[name] = path
        else:
            found.others.append(name)


def _is_output(folder: Path) -> bool:
    """Whether an earlier demo wrote to this folder."""
    try:
        return _start(folder / 'predictions.json', len(_BEGINNING)) == _BEGINNING
    except OSError:
        return False


def _start(path: Path, length: int) -> bytes:
    with path.open('rb') as file:
        return file.read(length)


def _is_image(path: Path) -> bool:
    """By its suffix, so that a damaged image is named, else by its content."""
    kind = _TYPES.guess_type(path.name)[0]
    if kind not in _UNTOLD:
        return kind.startswith('image/')
    try:
        return path.is_file() and cv2.haveImageReader(str(path))
    except (cv2.error, OSError, UnicodeError):
        return False


def is_video(name: str) -> bool:
    """Whether a file is a video, by its suffix."""
    return (_TYPES.guess_type(name)[0] or '').startswith('video/')


def _listed(names: list[str], shown: int = 3) -> str:
    return ', '.join(names[:shown]) + (', ...' if len(names) > shown else '')


def fetch(url: str, folder: Path) -> Path:
    """Fetch an image into a folder, under the last part of its address."""
    name = re.sub(r'[^\w.-]', '_', Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name)[-100:]
    path = folder / (name.lstrip('.') or 'image')
    try:
        download(url, path, largest=_LARGEST)
    except (DownloadError, ValueError) as error:
        raise InputError(str(error)) from error
    return path
