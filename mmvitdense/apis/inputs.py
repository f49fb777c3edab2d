"""What a person can mean by an input: one image, or several, one after the other."""

from __future__ import annotations

import glob
import itertools
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .errors import InputError
from .image_files import fetch, image_files, is_video, matching
from .pictures import is_pil
from .videos import LIVE, camera_frames, count_frames, video_frames


@dataclass(frozen=True)
class Item:
    """One image of the inputs.

    Attributes:
        image: A path, an address, an array, an image of PIL or a tensor.
        name: Its path below the folder that was given, or its number.
        path: Of its file, or of the video; the address; None for an image in memory.
        frame: Number of the frame in its video or camera.
    """

    image: Any
    name: str
    path: str | None = None
    frame: int | None = None


@dataclass(frozen=True)
class Inputs:
    """Images that were given.

    Attributes:
        items: The images, read when it is their turn.
        single: Whether one image was given by itself, not a list or a folder with one.
        total: How many there are, where that is known.
        endless: Whether they come from a camera.
    """

    items: Iterable[Item]
    single: bool = False
    total: int | None = None
    endless: bool = False


def find_inputs(given: Any) -> Inputs:
    """Find the images in what was given.

    Args:
        given: An image: a path, an http(s) address, an array, an image of PIL or a tensor of C x H x W. Or several: a
            folder (with its subfolders), a pattern of paths such as `photos/*.jpg`, a video file or its address, the
            number of a camera or the address of a stream, an array of N x H x W x 3, a tensor of N x C x H x W, or a
            list, generator or other iterable of any of these.

    Raises:
        InputError: It is none of these, or there is nothing there.
    """
    if isinstance(given, Inputs):
        return given
    if isinstance(given, (bool, bytes, dict)) or given is None:
        raise InputError(_unknown(given))
    if isinstance(given, (str, Path)):
        return _at(given)
    if isinstance(given, (int, np.integer)):
        return Inputs(_frames(f'camera {given}', camera_frames(int(given)), str(given)), endless=True)
    if isinstance(given, (np.ndarray, torch.Tensor)) and given.ndim == 4:
        return Inputs((Item(image, str(number)) for number, image in enumerate(given)), total=len(given))
    if isinstance(given, (np.ndarray, torch.Tensor)) or is_pil(given):
        return Inputs([Item(given, '0', _file_of(given))], single=True, total=1)
    if isinstance(given, Iterable):
        return _several(given)
    raise InputError(_unknown(given))


def _at(given: str | Path) -> Inputs:
    """The images at a path or an address."""
    text = str(given)
    if text.partition('://')[0].lower() in LIVE and '://' in text:
        return Inputs(_frames(text, camera_frames(text), text), endless=True)
    if '://' in text:
        if is_video(text.partition('?')[0]):
            return Inputs(_fetched_video(text))
        return Inputs(_fetched_image(text), single=True, total=1)
    if os.path.isdir(text):
        return _in_folder(Path(text))
    if glob.has_magic(text) and not os.path.lexists(text):
        return _several(matching(text))
    if is_video(text) and os.path.isfile(text):
        return Inputs(_frames(Path(text).name, video_frames(text), text), total=count_frames(text))
    return Inputs([Item(given, Path(text).name, text)], single=True, total=1)


def _in_folder(folder: Path) -> Inputs:
    with image_files(folder, None) as found:
        items = [Item(path, name, str(path)) for name, path in found.images.items()]
        # Reading it gives the reason, to be raised or skipped as that of a broken image.
        items += [Item(folder / name, name, str(folder / name)) for name in found.unreadable]
    return Inputs(items, total=len(items))


def _several(given: Iterable[Any]) -> Inputs:
    """Those of each element, which may be several themselves."""
    whole = isinstance(given, (list, tuple))
    parts = [find_inputs(part) for part in given] if whole else map(find_inputs, given)
    totals = [part.total for part in parts] if whole else [None]
    return Inputs(
        _numbered(parts),
        total=None if None in totals else sum(totals),
        endless=whole and any(part.endless for part in parts),
    )


def _numbered(parts: Iterable[Inputs]) -> Iterator[Item]:
    """The items of all, those in memory named by their number."""
    numbers = itertools.count()
    for part in parts:
        for item in part.items:
            number = next(numbers)
            yield item if item.path is not None else Item(item.image, str(number), None, item.frame)


def _frames(name: str, frames: Iterator[np.ndarray], path: str) -> Iterator[Item]:
    for number, frame in enumerate(frames):
        yield Item(frame, f'{name}/{number:06d}', path, number)


def _fetched(address: str, read: Callable[[Path], Iterator[Item]]) -> Iterator[Item]:
    with tempfile.TemporaryDirectory() as folder:
        yield from read(fetch(address, Path(folder)))


def _fetched_image(address: str) -> Iterator[Item]:
    return _fetched(address, lambda path: iter([Item(path, path.name, address)]))


def _fetched_video(address: str) -> Iterator[Item]:
    return _fetched(address, lambda path: _frames(path.name, video_frames(path), address))


def _file_of(image: Any) -> str | None:
    """The file that PIL opened."""
    return str(name) if (name := getattr(image, 'filename', None)) else None


def _unknown(given: Any) -> str:
    return (
        'expected the path of an image, a folder or a video, an address, the number of a camera, an array of H x W x 3 '
        'in BGR order, a PIL image, a tensor of 3 x H x W in RGB order, or several of these, got a '
        f'{type(given).__name__}'
    )
