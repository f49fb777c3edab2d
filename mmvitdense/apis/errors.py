"""Mistakes of the person at the keyboard: one readable line and exit code 2, never a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType

BAD_INPUT = 2
"""Exit code of a run that was refused, the same as argparse's for an unknown option."""
NOT_FINITE = 3
"""Exit code of a training run that ended because its numbers became NaN or infinite."""


class InputError(Exception):
    """What was given cannot be used. The message says what was given, what is expected and what to do."""


def run_tool(main: Callable[[], int | None]) -> int:
    """Run the body of a tool and return its exit code.

    `InputError`, `DataError`, `CheckpointError` and `NonFiniteError` end with one line on stderr; every other exception
    keeps its traceback. In a distributed run every process fails alike, and only the first of them prints.
    """
    from mmvitdense.checkpoints import CheckpointError
    from mmvitdense.compat import while_tools_run
    from mmvitdense.datasets.checks import DataError
    from mmvitdense.downloads import DownloadError
    from mmvitdense.engine import NonFiniteError

    try:
        with while_tools_run():
            code = main() or 0
        _wait_for_others()
        return code
    except (InputError, DataError, CheckpointError, DownloadError, NonFiniteError) as error:
        if int(os.environ.get('RANK', 0)) == 0:
            sys.stdout.flush()
            print(f'error: {_sentence(error)}', file=sys.stderr)
        return NOT_FINITE if isinstance(error, NonFiniteError) else BAD_INPUT
    finally:
        _leave_process_group()


def _sentence(error: Exception) -> str:
    """The message in one line; of an error from a process that loads data, without the traceback around it."""
    return ' '.join(str(error).rpartition(f'{type(error).__name__}: ')[2].split())


def _process_group() -> ModuleType | None:
    distributed = sys.modules.get('torch.distributed')
    return distributed if distributed and distributed.is_available() and distributed.is_initialized() else None


def _wait_for_others() -> None:
    # A process that leaves while another still talks to it can die in gloo's threads.
    if group := _process_group():
        group.barrier()


def _leave_process_group() -> None:
    if group := _process_group():
        group.destroy_process_group()
