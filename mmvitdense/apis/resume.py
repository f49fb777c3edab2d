"""Which checkpoint a run goes on from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmvitdense.checkpoints import CheckpointError
from mmvitdense.engine import latest_checkpoint as of_run
from mmvitdense.engine.errors import UnreadableRunError

from .checkpoint import read_run_checkpoint


def set_resume(cfg: Any, resume: str | None) -> None:
    """Apply `--resume`: None leaves the config as it is, 'auto' is the latest of the work dir, else a checkpoint."""
    if resume is not None:
        cfg.resume = True
        cfg.load_from = None if resume == 'auto' else resume


def latest_checkpoint(work_dir: str | Path, folders: Sequence[str] = ()) -> tuple[str | None, list[str]]:
    """Find the checkpoint to resume from, as `mmvitdense.engine.latest_checkpoint` does.

    Raises:
        CheckpointError: there are checkpoints, and none can be read.
    """
    try:
        return of_run.latest_checkpoint(work_dir, read_run_checkpoint, folders)
    except UnreadableRunError as error:
        raise CheckpointError(str(error)) from error
