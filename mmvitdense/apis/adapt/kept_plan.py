"""The plan of a run that was adapted before, with which it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..config import load_config
from ..errors import InputError

FIELD = 'adapted'
"""Field of an adapted config that says what was changed; no part of a run reads it."""


def adapted_before(cfg: Any, resume: str | None, auto: bool) -> Any | None:
    """The config that a run with `--auto` left in its work dir, for the run that resumes it.

    Args:
        cfg: The config that is given, with its work dir.
        resume: The argument of `--resume`.
        auto: Whether `--auto` is given.

    Returns:
        That config; None where nothing is resumed, or no run was adapted.

    Raises:
        InputError: The run was adapted, and the config that is given would go on otherwise; or the other way round.
    """
    if resume is None or FIELD in cfg or cfg.filename is None:
        return None
    folder = Path(cfg.work_dir) if resume == 'auto' else Path(resume).parent
    file = folder / Path(cfg.filename).name
    kept = load_config(str(file)) if file.is_file() else None
    if kept is None or FIELD not in kept:
        if auto and resume != 'auto':
            raise InputError(
                f'--auto: {folder} has no config of a run with --auto, with which one from {resume} could go on: leave '
                '--auto out.'
            )
        return None
    if not auto:
        raise InputError(
            f'--resume: the run in {folder} was adapted by --auto; give --auto too, which goes on with its plan, or '
            f'{file} as the config.'
        )
    return kept
