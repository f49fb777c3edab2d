"""Which checkpoint a run goes on from."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from mmvitdense.safe_objects import run_objects_allowed
from mmvitdense.whole_files import damaged_part

from .errors import UnreadableRunError
from .run_lock import noted_run

NOTE = 'last_checkpoint'
"""File of a work dir in which mmengine writes the path of the newest checkpoint."""
_NUMBERED = re.compile(r'(iter|epoch)_(\d+)\.pth')
Read = Callable[[str], dict[str, Any]]


def latest_checkpoint(
    work_dir: str | Path, read: Read, folders: Sequence[str | Path] = ()
) -> tuple[str | None, list[str]]:
    """Find the checkpoint to resume from.

    That is the one noted last, or one of its name in the work dir if the work dir was moved or copied; if it is gone or
    damaged, the newest whole one. Checkpoints of an earlier run in the same work dir are passed over.

    Args:
        work_dir: The work dir.
        read: Reads a checkpoint, and raises an error whose message says what is wrong with it.
        folders: Where checkpoints are besides in the work dir (`out_dir` of the hook that saves them).

    Returns:
        Its path, or None if there is none of this run, and lines for the log.

    Raises:
        UnreadableRunError: there are some of this run, and none can be read.
    """
    run = noted_run(work_dir).get('run')
    notes, unreadable = [], []
    for path, is_noted in _candidates(Path(work_dir), [Path(work_dir), *map(Path, folders)]):
        try:
            of_run = (read(str(path)).get('meta') or {}).get('run')
        except Exception as error:
            unreadable.append(path)
            notes.append(f'Not resumed from: {error}')
            continue
        if run is None or of_run == run or (is_noted and of_run is None):
            return str(path), notes
        notes.append(f'Not resumed from {path}: it is of an earlier run in this work dir.')
    if any(path.exists() for path in unreadable):
        raise UnreadableRunError(f'None of the {len(unreadable)} checkpoint(s) in {work_dir} can be read. {notes[0]}')
    return None, [*notes, f'Nothing to resume in {work_dir}: the run starts from the beginning']


def read_run_file(path: str) -> dict[str, Any]:
    """Read a checkpoint of mmengine's runner on the CPU, after its check sums; mapped rather than copied."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist.')
    if (part := damaged_part(path)) is not None:
        raise ValueError(f'{path} is damaged: its part {part} does not have its check sum.')
    with run_objects_allowed():
        return torch.load(path, map_location='cpu', weights_only=True, mmap=True)


def numbered_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of epochs or iterations, from new to old."""
    found = [(path, match) for path in folder.glob('*.pth') if (match := _NUMBERED.fullmatch(path.name))]
    if len({match[1] for _, match in found}) == 1:
        return [path for path, _ in sorted(found, key=lambda one: -int(one[1][2]))]
    # A run by epochs that was stopped within one has both; their numbers cannot be compared.
    return [path for path, _ in sorted(found, key=lambda one: -one[0].stat().st_mtime)]


def _noted(note: Path) -> str:
    """The path that is noted, '' if none is, or something that no path can be."""
    try:
        noted = note.read_text(encoding='utf-8').strip()
        os.lstat(noted)
    except FileNotFoundError:
        return noted if note.is_file() else ''
    except (OSError, ValueError):  # no text, too long a name, a zero in it
        return ''
    return noted


def _candidates(work_dir: Path, folders: list[Path]) -> list[tuple[Path, bool]]:
    """Checkpoints to try in turn, and whether it is the noted one."""
    noted = _noted(work_dir / NOTE)
    tried: dict[Path, tuple[Path, bool]] = {}
    if noted:
        own = [folder / Path(noted).name for folder in folders]
        for path in [*(path for path in own if path.is_file()), Path(noted)]:
            tried.setdefault(path.resolve(), (path, True))
    for folder in folders:
        for path in numbered_checkpoints(folder):
            tried.setdefault(path.resolve(), (path, False))
    return list(tried.values())
