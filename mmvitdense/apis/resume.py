"""Which checkpoint a run goes on from, and with which data."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dataset import InfiniteSampler

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


def skip_trained_data(loop: Any) -> None:
    """Let an iteration-based loop that was resumed begin with the batch whose turn it is.

    mmengine 0.10.7 loads every batch that the run was trained on and throws it away, which takes hours in a long run
    and draws random numbers that the uninterrupted run drew elsewhere. The onedl line moves the sampler forward
    instead, as is done here for the other one.
    """
    batches = getattr(loop, 'dataloader_iterator', None)
    if not loop.iter or batches is None or hasattr(batches, 'skip_iter'):
        return
    sampler, size = loop.dataloader.sampler, loop.dataloader.batch_size
    if not isinstance(sampler, InfiniteSampler) or size is None:
        return
    sampler.indices = itertools.islice(sampler._indices_of_rank(), loop.iter * size, None)
    loop.dataloader_iterator = _Skipping(loop.iter, lambda: type(batches)(loop.dataloader))


class _Skipping:
    """The batches of `start()`, after `count` empty ones."""

    def __init__(self, count: int, start: Callable[[], Any]):
        self._left = count
        self._start = start
        self._batches = None

    def __next__(self) -> Any:
        if self._left:
            self._left -= 1
            return None
        if self._batches is None:
            self._batches = self._start()
        return next(self._batches)
