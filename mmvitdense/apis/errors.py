"""Mistakes of the person at the keyboard: one readable line and exit code 2, never a traceback."""

from __future__ import annotations

import errno
import os
import signal
import sys
import sysconfig
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .failures import claim_failure, killed_loader, loading_traceback, lost_process, process_group

FAILED = 1
"""Exit code of a run that something around it ended: a full disk, a process that was killed."""
BAD_INPUT = 2
"""Exit code of a run that was refused, the same as argparse's for an unknown option."""
NOT_FINITE = 3
"""Exit code of a training run that ended because its numbers became NaN or infinite."""
_OWN = os.path.join(str(Path(__file__).parents[1]), '')
_REPORT = 'the issues of mmvitdense'
_AROUND = {
    getattr(errno, name)
    for name in (
        # no room, or no right to write
        *('ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'EACCES', 'EPERM'),
        # something else is where a file should be
        *('EISDIR', 'ENOTDIR', 'EEXIST', 'ENOTEMPTY', 'ELOOP', 'ENAMETOOLONG'),
        # a disk or a file system of a network that fails
        *('EIO', 'ESTALE', 'ENXIO', 'ENODEV', 'EREMOTEIO', 'ENOTCONN', 'EHOSTDOWN'),
        # limits of the machine
        *('EMFILE', 'ENFILE', 'ENOMEM'),
    )
    if hasattr(errno, name)
}
"""What the system says of files that a program can do nothing about."""


class InputError(Exception):
    """What was given cannot be used. The message says what was given, what is expected and what to do."""


def is_of_others(category: type, filename: str) -> bool:
    """Whether a warning is of something that the person at the keyboard did not write."""
    if issubclass(category, (DeprecationWarning, FutureWarning, PendingDeprecationWarning)):
        return True
    if filename.startswith(_OWN):  # inside the folder of installed packages too, where it is not a checkout
        return False
    return filename.startswith(tuple(sysconfig.get_paths()[name] for name in ('stdlib', 'purelib', 'platlib')))


@contextmanager
def only_own_warnings(debug: bool = False) -> Iterator[None]:
    """Inside, warnings of other libraries, which a person can do nothing about, are shown with `debug` alone.

    Those of a run are in its log file (`run_log`).
    """
    before = warnings.showwarning

    def show(message: Any, category: type, filename: str, *rest: Any) -> None:
        if debug or not is_of_others(category, filename):
            before(message, category, filename, *rest)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def run_tool(main: Callable[[], int | None], debug: bool = False) -> int:
    """Run the body of a tool and return its exit code.

    Args:
        main: The body.
        debug: Whether one line is preceded by the traceback of what it is about.

    What a person can mend (`InputError`, `DataError`, `CheckpointError`, `WorkDirInUseError`), a training that diverged
    (`NonFiniteError`) and what fails around a run (no room for a checkpoint, a process that loads data, another process
    of the run) end with one line on stderr, below the traceback where an exception in loading data has one. Every other
    exception is a fault of the program: it keeps its traceback, and the last line asks to report it. In a distributed
    run the process that fails first prints it, for all.
    """
    from mmvitdense.compat import while_tools_run
    from mmvitdense.engine import LoadingError, StoppedBySignal

    try:
        try:
            with while_tools_run(), only_own_warnings(debug):
                code = main() or 0
            _wait_for_others()
            return code
        except BaseException:
            # Here, so that what torch raises before that is answered below.
            _hear_no_deaths()
            raise
    except StoppedBySignal as stop:
        return stop.code
    except KeyboardInterrupt:
        return _say('Stopped by Ctrl-C.', 128 + signal.SIGINT)
    except Exception as error:
        if _is_of_interrupt(error):
            return _say('Stopped by Ctrl-C.', 128 + signal.SIGINT)
        _finish_saying()
        said = _described(error)
        sentence, code = said or (_fault(error), FAILED)
        if claim_failure(isinstance(error, RuntimeError)):
            if isinstance(error, LoadingError):
                sys.stderr.write(loading_traceback(error))
            elif debug or said is None:
                traceback.print_exception(error)
            _say(sentence, code)
        return code
    finally:
        _leave_process_group()


def _is_of_interrupt(error: BaseException | None) -> bool:
    """Whether a library has made another error of Ctrl-C, as mmengine does that formats a config."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _described(error: Exception) -> tuple[str, int] | None:
    """The line and the exit code for an exception, None if it needs its traceback."""
    from mmvitdense.checkpoints import CheckpointError
    from mmvitdense.datasets.checks import DataError
    from mmvitdense.downloads import DownloadError
    from mmvitdense.engine import (
        LoadingError,
        NonFiniteError,
        OtherTrainingError,
        SavingError,
        ShardingError,
        WorkDirInUseError,
    )
    from mmvitdense.export.errors import ExportError

    mended = (InputError, DataError, CheckpointError, DownloadError, ExportError, OtherTrainingError, WorkDirInUseError)
    mended += (ShardingError,)
    if isinstance(error, mended):
        return _sentence(error), BAD_INPUT
    if isinstance(error, NonFiniteError):
        return _sentence(error), NOT_FINITE
    if isinstance(error, (LoadingError, SavingError)):
        return _sentence(error), FAILED
    torch = sys.modules.get('torch')
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return f'{_first_line(error)} Lower the batch size, or use --amp.', FAILED
    if isinstance(error, OSError) and error.errno in _AROUND:
        return f'{error.filename or "A file of this run"} cannot be read or written: {error.strerror}.', FAILED
    if isinstance(error, FileNotFoundError) and error.filename and not _folder_of(error.filename).is_dir():
        return f'{error.filename} cannot be read or written: there is no folder {_folder_of(error.filename)}.', FAILED
    for described in (killed_loader, lost_process):
        if isinstance(error, RuntimeError) and (sentence := described(error)):
            return sentence, FAILED
    return None


def _folder_of(path: str | bytes) -> Path:
    return Path(os.fsdecode(path)).absolute().parent


def _fault(error: Exception) -> str:
    text = ' '.join(str(error).split()).rstrip('.')
    return (
        f'{type(error).__name__}{f": {text[:300]}" if text else ""}. This is no mistake that the program knows: if the '
        f'traceback above does not end in code of yours, please report it, with the log, in {_REPORT}.'
    )


def _say(sentence: str, code: int) -> int:
    sys.stdout.flush()
    print(f'error: {sentence}', file=sys.stderr, flush=True)
    return code


def _sentence(error: Exception) -> str:
    """The message in one line; of an error from a process that loads data, without the traceback around it."""
    return ' '.join(str(error).rpartition(f'{type(error).__name__}: ')[2].split())


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _hear_no_deaths() -> None:
    # Torch raises, wherever the main thread is, when it hears that one of its loader processes was killed.
    if hasattr(signal, 'SIGCHLD') and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _finish_saying() -> None:
    # A launcher that has seen another process end asks the rest to end, before they could say what they lost.
    if process_group() and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _wait_for_others() -> None:
    # A process that leaves while another still talks to it can die in gloo's threads.
    if group := process_group():
        group.barrier()


def _leave_process_group() -> None:
    if group := process_group():
        group.destroy_process_group()
