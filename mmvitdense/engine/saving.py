"""Checkpoint files that exist or do not."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.runner import Runner

from mmvitdense.whole_files import written_whole

from .errors import SavingError
from .full_sharding import is_sharded
from .main_process import on_main_process


def save_whole(runner: Runner, last: Callable[[], str | None], together: bool = True) -> Callable[..., None]:
    """A function to be called in the place of `Runner.save_checkpoint`, with the same arguments.

    The checkpoint has its name when it is whole and on the disk; all processes wait for that.

    Args:
        runner: The runner.
        last: Gives the path of the last whole checkpoint, if there is one, for the message of an error.
        together: Whether all processes call the function; otherwise the first one alone.

    Raises:
        SavingError: by the function, in all processes: the file cannot be written. Nothing of it is left.
    """
    save = type(runner).save_checkpoint.__get__(runner)

    def whole(out_dir: str, filename: str, *args: Any, **options: Any) -> None:
        path = Path(out_dir, filename)

        def write() -> None:
            try:
                with written_whole(path, sync=True) as temporary:
                    save(out_dir, temporary.name, *args, **options)
            except OSError as error:
                reason = error.strerror or str(error)
                left = f'the last whole one is {last()}' if last() else 'there is no earlier one'
                raise SavingError(
                    f'The checkpoint {path} cannot be written ({reason}); {left}. Make room or give another folder '
                    '(default_hooks.checkpoint.out_dir), and go on with --resume.'
                ) from error

        if together:
            with _all_state(runner):
                on_main_process(write)
        else:
            write()

    return whole


def _all_state(runner: Runner) -> AbstractContextManager:
    """Within, the first process can save what each of the processes has a part of."""
    return runner.model.whole_state(runner.optim_wrapper) if is_sharded(runner.model) else nullcontext()


def can_save_whole(runner: Runner, file_backend: Any) -> bool:
    """Whether one process writes the checkpoints, to a file system.

    Otherwise mmengine's own functions serve: other storage takes a file as a whole, and `FlexibleRunner` leaves the
    writing to its strategy.
    """
    return isinstance(file_backend, LocalBackend) and not hasattr(runner, 'strategy')


def last_checkpoint(runner: Runner) -> str:
    """Which checkpoint is the last good one, for a message."""
    last = runner.message_hub.runtime_info.get('last_ckpt')
    return f'the last checkpoint is {last}' if last else 'there is no earlier checkpoint'


class KeptFiles:
    """Stands in for a storage backend, and keeps what it is asked to delete.

    Args:
        backend: The storage backend.
    """

    def __init__(self, backend: Any):
        self.backend = backend
        self.names: list[str] = []
        """Names, without folders, of what was to be deleted."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def isfile(self, path: str) -> bool:
        """Whether it may be deleted; that it is there is found out then."""
        return True

    def remove(self, path: str) -> None:
        """Note a file."""
        self.names.append(os.path.basename(path))


def remove_outdated(backend: Any, folder: str, names: Iterable[str], kept: Collection[str]) -> None:
    """Delete checkpoints of a folder, files or folders, but for those that are kept; in the first process.

    Args:
        backend: Of the storage.
        folder: Where they are now; what their paths were when they were noted is of no account, as the folder may be
            a copy.
        names: Names without folders.
        kept: Such names.
    """
    if not is_main_process():
        return
    for name in set(names) - set(kept):
        path = backend.join_path(folder, name)
        if backend.isfile(path):
            backend.remove(path)
        elif backend.isdir(path):
            backend.rmtree(path)
