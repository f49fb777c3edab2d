"""Folders as the Hugging Face Hub has them: a config.json, and weights beside it in one file or several."""

from __future__ import annotations

from pathlib import Path

CONFIG = 'config.json'
WEIGHTS = 'model.safetensors'
INDEX = 'model.safetensors.index.json'
_USUAL = (INDEX, WEIGHTS, 'pytorch_model.bin')
SUFFIXES = ('.safetensors', '.pth', '.pt', '.bin', '.npz', '.pkl')
"""Ends of the names of files of weights."""


def weights_of_folder(folder: str | Path) -> list[Path]:
    """The file of a published model where there is one, or its index; else all files of weights, in order."""
    folder = Path(folder)
    for usual in _USUAL:
        if (folder / usual).is_file():
            return [folder / usual]
    return sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES) and path.is_file())


def weights_of_snapshot(folder: str | Path) -> str | None:
    """The file of weights in a folder with a config.json; None for other folders, and where nothing says which."""
    if not Path(folder, CONFIG).is_file():
        return None
    found = weights_of_folder(folder)
    return str(found[0]) if len(found) == 1 else None
