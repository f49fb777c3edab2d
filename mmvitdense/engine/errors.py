"""What ends a run."""

from __future__ import annotations

import signal


class NonFiniteError(Exception):
    """Training gave numbers that are not finite. The message says in one sentence where, and what to do."""


class WorkDirInUseError(Exception):
    """Another process trains in the work dir. The message names it."""


class UnreadableRunError(Exception):
    """A work dir has checkpoints of the run, and none of them can be read."""


class OtherTrainingError(Exception):
    """A checkpoint cannot be resumed with this config. The message says what differs, and what to do."""


class SavingError(Exception):
    """A checkpoint could not be written. The message says why, and which one is the last whole one."""


class ShardingError(Exception):
    """A run cannot split its weights among processes. The message says why, and what to do."""


class LoadingError(Exception):
    """A sample, or a process that loads samples, failed. The message names the file or the process."""


class StoppedBySignal(SystemExit):
    """A run was stopped by SIGTERM or SIGINT, and its state was saved.

    As it is a `SystemExit`, a tool that knows nothing of it ends with the exit code that shells give to such ends:
    128 and the number of the signal.
    """

    def __init__(self, number: int):
        super().__init__(128 + number)
        self.signal = signal.Signals(number)
