"""Who trains in a work dir: a lock that ends with its process, and what is known of the run."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import time
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from .command_line import typed_command
from .errors import WorkDirInUseError

NAME = '.run_lock'
_TAKEN = (errno.EACCES, errno.EAGAIN)
_held: dict[tuple[str, int], int] = {}
"""Real path of a work dir, process that has locked it (a forked one has not) -> descriptor. The lock is lost when *any*
descriptor of the file is closed in this process, so the file is read by this one."""


def lock_work_dir(work_dir: str | Path) -> bool:
    """Lock a work dir, which is made if it is missing, until `release_work_dir` or the end of this process.

    The lock is one of POSIX (`fcntl`): the kernel frees it however the process ends, forked processes do not inherit
    it, and it works between machines on NFS 4 and on NFS 3 with its lock service. Where a file system has no locks, a
    warning says so and the run goes on.

    Returns:
        Whether it was locked by this call, and not by this process before.

    Raises:
        WorkDirInUseError: another process holds it.
        OSError: the folder cannot be made or written to.
    """
    if _key(work_dir) in _held:
        return False
    os.makedirs(work_dir, exist_ok=True)
    descriptor = os.open(Path(work_dir, NAME), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(descriptor, work_dir)
    except BaseException:
        os.close(descriptor)
        raise
    _held[_key(work_dir)] = descriptor
    note_run(work_dir, pid=os.getpid(), host=socket.gethostname(), since=time.strftime('%Y-%m-%d %H:%M:%S'))
    note_run(work_dir, command=typed_command())
    return True


def release_work_dir(work_dir: str | Path) -> None:
    """Give up the lock. The file stays, as it says which run the checkpoints are of."""
    descriptor = _held.pop(_key(work_dir), None)
    if descriptor is not None:
        os.close(descriptor)


def refuse_work_dir_in_use(work_dir: str | Path) -> None:
    """Look whether a work dir could be locked, without writing anything.

    Raises:
        WorkDirInUseError: another process holds it.
    """
    path = Path(work_dir, NAME)
    if _key(work_dir) in _held or not os.access(path, os.W_OK):
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        _lock(descriptor, work_dir, warn=False)
    finally:
        os.close(descriptor)


def noted_run(work_dir: str | Path) -> dict[str, Any]:
    """What is written of the run that a work dir belongs to; empty if there is nothing that can be read.

    Keys: 'run' (its name, which its checkpoints have as well), 'pid', 'host', 'since' and 'command'.
    """
    descriptor = _held.get(_key(work_dir))
    try:
        if descriptor is None:
            noted = json.loads(Path(work_dir, NAME).read_text(encoding='utf-8'))
        else:
            noted = json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return noted if isinstance(noted, dict) else {}


def note_run(work_dir: str | Path, **what: Any) -> None:
    """Write more of the run whose work dir this process has locked."""
    descriptor = _held[_key(work_dir)]
    content = json.dumps({**noted_run(work_dir), **what}).encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)


def _key(work_dir: str | Path) -> tuple[str, int]:
    return os.path.realpath(work_dir), os.getpid()


def _lock(descriptor: int, work_dir: str | Path, warn: bool = True) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            raise WorkDirInUseError(_taken(work_dir)) from error
        if warn:
            print_log(
                f'{work_dir} cannot be locked ({error.strerror}): start no other run in it.',
                logger='current',
                level=logging.WARNING,
            )


def _taken(work_dir: str | Path) -> str:
    holder = noted_run(work_dir)
    known = {'pid', 'host', 'since'} <= holder.keys()
    who = f'process {holder["pid"]} on {holder["host"]} since {holder["since"]}' if known else 'a process'
    return f'The folder {work_dir} is in use by {who}: wait until it has ended, stop it, or give another --work-dir.'
