"""What to give in place of a folder that was given for a checkpoint."""

from __future__ import annotations

from pathlib import Path

from .hub_folder import SUFFIXES

_SHOWN = 5


def folder_message(folder: str | Path) -> str:
    """One sentence that names the checkpoints in a folder, the last one of a run first.

    Args:
        folder: For example a work dir, in which mmengine's runner leaves a file `last_checkpoint` with a path.
    """
    folder = Path(folder)
    names = sorted((path.name for path in folder.iterdir() if path.suffix in SUFFIXES), key=_by_number)
    if not names:
        return f'{folder} is a folder without checkpoints in it; expected a file such as {folder / "epoch_12.pth"}.'
    last = _last(folder)
    if last in names:
        names = [last, *(name for name in names if name != last)]
    listed = ', '.join(names[:_SHOWN]) + (f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else '')
    meant = f' ({last} is its last_checkpoint)' if last in names else ''
    return f'{folder} is a folder; expected a checkpoint in it, such as {folder / names[0]}: it has {listed}{meant}.'


def _last(folder: Path) -> str | None:
    try:
        return Path((folder / 'last_checkpoint').read_text().strip()).name
    except (OSError, UnicodeDecodeError):
        return None


def _by_number(name: str) -> tuple[int, str]:
    """The latest first: epoch_12 before epoch_9."""
    digits = ''.join(character for character in Path(name).stem if character.isdigit())
    return -int(digits or 0), name
