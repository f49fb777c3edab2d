"""Folders as the Hugging Face Hub has them: a config.json, and weights beside it in one file or several."""

from __future__ import annotations

from pathlib import Path

from .shards import is_index, places_of

CONFIG = 'config.json'
WEIGHTS = 'model.safetensors'
INDEX = 'model.safetensors.index.json'
_USUAL = (INDEX, WEIGHTS, 'pytorch_model.bin.index.json', 'pytorch_model.bin')
SUFFIXES = ('.safetensors', '.pth', '.pt', '.bin', '.npz', '.pkl')
"""Ends of the names of files of weights."""


def weights_of_folder(folder: str | Path) -> list[Path]:
    """The file of a published model where there is one, or its index; else all files of weights, in order.

    The parts of an index are none of their own.

    Raises:
        BrokenIndexError: An index is none.
    """
    folder = Path(folder)
    for usual in _USUAL:
        if (folder / usual).is_file():
            return [folder / usual]
    indices = [path for path in folder.iterdir() if is_index(path) and path.is_file()]
    parts = {folder / name for index in indices for name in places_of(index).values()}
    files = {path for path in folder.iterdir() if path.name.endswith(SUFFIXES) and path.is_file()}
    return sorted({*indices, *files} - parts)


def weights_of_snapshot(folder: str | Path) -> str | None:
    """The file of weights in a folder with a config.json; None for other folders, and where nothing says which."""
    if not Path(folder, CONFIG).is_file():
        return None
    found = weights_of_folder(folder)
    return str(found[0]) if len(found) == 1 else None
