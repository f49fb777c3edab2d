"""Signals that a run sends to itself at a moment that is named, within the writing of files too."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from mmengine.dist import get_rank
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

MOMENTS = (
    'iteration',  # before the forward pass of an iteration
    'half',  # half of a checkpoint is written
    'best',  # half of a best checkpoint is written
    'named',  # a checkpoint is whole, and not noted yet
    'noted',  # it is noted, and older ones are not deleted yet
    'validation',  # after a batch of a validation
)


@HOOKS.register_module()
class KillAt(Hook):
    """Sends a signal to its own process the `count`-th time (from 1) that a moment comes.

    Args:
        moment: One of `MOMENTS`.
        count: Which time.
        number: The signal.
        rank: The process that sends it to itself.
    """

    priority = 'LOWEST'

    def __init__(self, moment: str, count: int, number: int = signal.SIGKILL, rank: int = 0):
        assert moment in MOMENTS, moment
        self.moment = moment
        self.left = count
        self.number = number
        self.rank = rank
        self._is_best = False

    def before_run(self, runner: Runner) -> None:
        """Look into the functions by which checkpoints are written."""
        put, replace = LocalBackend.put, os.replace

        def put_half(backend: Any, content: bytes, path: str) -> None:
            if Path(path).suffix == '.pth' and self._comes('best' if self._is_best else 'half'):
                Path(path).write_bytes(content[: len(content) // 2])
                self._send()
            put(backend, content, path)

        def replace_then(source: str, target: str) -> None:
            replace(source, target)
            if Path(target).suffix == '.pth':
                self._come('named')
            elif Path(target).name == 'last_checkpoint' and runner.message_hub.runtime_info.get('last_ckpt'):
                self._come('noted')

        if self.moment in ('half', 'best'):
            LocalBackend.put = put_half
        if self.moment in ('named', 'noted'):
            os.replace = replace_then

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """One of the moments."""
        self._come('iteration')

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """One of the moments."""
        self._come('validation')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Tell best checkpoints, which have no optimizer, from those to go on from."""
        self._is_best = 'optimizer' not in checkpoint

    def _come(self, moment: str) -> None:
        if self._comes(moment):
            self._send()

    def _comes(self, moment: str) -> bool:
        if moment != self.moment or get_rank() != self.rank:
            return False
        self.left -= 1
        return self.left == 0

    def _send(self) -> None:
        os.kill(os.getpid(), self.number)
