"""One run at a time in a work dir, and nothing of an earlier one that could be taken for it."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner

from mmvitdense.registry import HOOKS
from mmvitdense.whole_files import remove_torn_files, write_text_whole

from .latest_checkpoint import NOTE, latest_checkpoint, numbered_checkpoints, read_run_file
from .main_process import on_main_process
from .run_lock import lock_work_dir, note_run, release_work_dir
from .same_training import compare_training


@HOOKS.register_module()
class WorkDirHook(Hook):
    """Keeps runs in one work dir apart.

    * The work dir, and the folder of its checkpoints if that is another one, are locked while the run lasts; a second
      run ends with a line that names the process and its machine.
    * What a run that was killed while it wrote has left is removed.
    * Each run has a name, which is in its checkpoints and in `.run_lock` of the work dir. Resumption without a path
      takes the newest whole checkpoint of the last run in the work dir, also where the checkpoint noted last is gone,
      damaged or of another folder, and starts from the beginning if there is none.
    * A new run in the work dir of an earlier one says so. Its `last_checkpoint` is removed, its checkpoints stay.
    """

    # Before the hooks that read or write checkpoints.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._run: str | None = None
        self._resumed = False
        self._locked: list[str] = []

    def before_run(self, runner: Runner) -> None:
        """Lock the work dir and choose what to resume from, before checkpoints are read."""
        if not isinstance(runner._train_loop, BaseLoop):
            return  # a test writes logs alone
        self._run, self._resumed = None, False
        resume = runner._resume and runner._load_from is None and not runner._has_loaded
        self._locked, chosen, notes = on_main_process(lambda: self._prepare(runner, resume))
        for note in notes:
            _say(note)
        if resume:
            runner._load_from = chosen
            runner._resume = chosen is not None

    def _prepare(self, runner: Runner, resume: bool) -> tuple[list[str], str | None, list[str]]:
        folders = _other_folders(runner)
        locked = _lock([runner.work_dir, *folders])
        for folder in (runner.work_dir, *folders):
            remove_torn_files(folder, '.pth')
        remove_torn_files(runner.work_dir, '')
        chosen, notes = latest_checkpoint(runner.work_dir, read_run_file, folders) if resume else (None, [])
        return locked, chosen, notes

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take over the name of a run that is resumed, if the config is that of its training."""
        if runner._resume:
            for note in compare_training(runner, checkpoint):
                _say(note)
            self._run = checkpoint['meta'].get('run')
            self._resumed = True

    def before_train(self, runner: Runner) -> None:
        """Note whose the work dir is now."""
        if self._run is None:
            self._run = on_main_process(lambda: uuid.uuid4().hex)
        if is_main_process():
            note = Path(runner.work_dir, NOTE)
            if not self._resumed:
                self._tell_of_earlier_run(runner)
            if self._resumed and os.path.isfile(runner._load_from):
                write_text_whole(note, os.path.abspath(runner._load_from))
            else:
                note.unlink(missing_ok=True)
            note_run(runner.work_dir, run=self._run)
        if self._resumed:
            self._tell_of_complete_run(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the name of the run into the checkpoint."""
        checkpoint['meta']['run'] = self._run

    def after_run(self, runner: Runner) -> None:
        """Let others have the work dir."""
        if is_main_process():
            _release(self._locked)
        self._locked = []

    @staticmethod
    def _tell_of_complete_run(runner: Runner) -> None:
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        done, last, unit, option = (
            (runner.epoch, runner.max_epochs, 'epochs', 'train_cfg.max_epochs')
            if by_epoch
            else (runner.iter, runner.max_iters, 'iterations', 'train_cfg.max_iters')
        )
        if done >= last:
            _say(
                f'{runner._load_from} has {done} of {last} {unit}: the run is complete and nothing is trained. '
                f'For a longer one, give --cfg-options {option}=N, and its schedules.'
            )

    @staticmethod
    def _tell_of_earlier_run(runner: Runner) -> None:
        found = [
            path for folder in (runner.work_dir, *_other_folders(runner)) for path in numbered_checkpoints(Path(folder))
        ]
        if found:
            names = ', '.join(path.name for path in found[:3]) + (', ...' if len(found) > 3 else '')
            _say(
                f'{runner.work_dir} has checkpoints of an earlier run ({names}): this run starts anew and overwrites '
                f'those of the same name. To go on with the earlier run, stop this one and give --resume {found[0]}.'
            )


@contextmanager
def folders_locked(folders: Sequence[str]) -> Iterator[None]:
    """Hold the locks of a work dir and of the folders of its checkpoints, in a distributed run by its first process.

    Raises:
        WorkDirInUseError: one of them is in use; by all processes.
    """
    taken = on_main_process(lambda: _lock(folders))
    try:
        yield
    finally:
        if is_main_process():
            _release(taken)


def _lock(folders: Sequence[str]) -> list[str]:
    """Lock folders, all or none; return those that were not locked by this process before."""
    taken: list[str] = []
    try:
        for folder in folders:
            if lock_work_dir(folder):
                taken.append(folder)
    except BaseException:
        _release(taken)
        raise
    return taken


def _release(folders: Sequence[str]) -> None:
    for folder in folders:
        release_work_dir(folder)


def checkpoint_folders(checkpoint_hook: dict | None, work_dir: str) -> list[str]:
    """Where on this machine checkpoints of a run go besides the work dir.

    Args:
        checkpoint_hook: The hook's fields in a config, of which `out_dir` is read.
        work_dir: The work dir, whose last part mmengine's hook appends.
    """
    out_dir = (checkpoint_hook or {}).get('out_dir')
    if not out_dir or '://' in out_dir:
        return []
    return [os.path.join(out_dir, os.path.basename(work_dir.rstrip(os.sep)))]


def _other_folders(runner: Runner) -> list[str]:
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    return [folder for hook in hooks for folder in checkpoint_folders(vars(hook), runner.work_dir)]


def _say(note: str) -> None:
    print_log(note, logger='current', level=logging.WARNING)
