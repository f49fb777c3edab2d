"""Which checkpoint a run goes on from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mmvitdense.checkpoints import CheckpointError

from .checkpoint import read_run_checkpoint

_NUMBERED = re.compile(r'(?:iter|epoch)_(\d+)\.pth')


def set_resume(cfg: Any, resume: str | None) -> None:
    """Apply `--resume`: None leaves the config as it is, 'auto' is the latest of the work dir, else a checkpoint."""
    if resume is not None:
        cfg.resume = True
        cfg.load_from = None if resume == 'auto' else resume


def latest_checkpoint(work_dir: str | Path) -> tuple[str | None, list[str]]:
    """Find the checkpoint to resume from in a work dir.

    That is the one mmengine noted last. When a run is killed while it writes a checkpoint, that one can be cut short
    or gone; the newest whole one is taken then.

    Returns:
        Its path, or None if the work dir has no checkpoint, and lines for the log.

    Raises:
        CheckpointError: there are checkpoints, and none can be read.
    """
    candidates = _candidates(Path(work_dir))
    notes = []
    for path in candidates:
        try:
            read_run_checkpoint(path)
        except CheckpointError as error:
            notes.append(f'Not resumed from: {error}')
        else:
            return str(path), notes
    if not candidates:
        return None, [f'Nothing to resume in {work_dir}: the run starts from the beginning']
    raise CheckpointError(f'None of the {len(candidates)} checkpoint(s) in {work_dir} can be read. {notes[0]}')


def _candidates(work_dir: Path) -> list[Path]:
    """Checkpoints, the one noted last first, then the rest from new to old."""
    note = work_dir / 'last_checkpoint'
    noted = [Path(note.read_text().strip())] if note.is_file() and note.read_text().strip() else []
    numbered = {
        path: int(match[1])
        for folder in {work_dir, *(path.parent for path in noted)}
        for path in folder.glob('*.pth')
        if (match := _NUMBERED.fullmatch(path.name))
    }
    rest = sorted(numbered, key=lambda path: -numbered[path])
    return noted + [path for path in rest if not noted or path.resolve() != noted[0].resolve()]
