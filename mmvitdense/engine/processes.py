"""Processes of a run that end with it, and end it when they fail."""

from __future__ import annotations

import os
import signal

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmvitdense.registry import HOOKS

from .loader_watch import watch_loader
from .named_loading import name_files
from .parent_death import end_with_parent, signal_when_parent_dies


@HOOKS.register_module()
class ProcessesHook(Hook):
    """Watches over the processes that load data, in training, validation and tests.

    * A loader process that was killed ends the run at once, or within some ten seconds where it takes the channel of
      batches with it; where one is stopped or hangs, the run ends when no batch came for `loader_timeout`. The error
      names the process and its state.
    * An exception in loading a sample names the image and the annotation file.
    * Loader processes end when the process that trains has ended, however it did (at once on Linux, else within five
      seconds), and leave Ctrl-C and SIGTERM to it. Processes started by torchrun are asked to stop, as by SIGTERM, when
      torchrun itself has been killed.

    A process of a distributed run that is stopped ends the run after the `timeout` of `env_cfg.dist_cfg`.

    Args:
        loader_timeout: Seconds.
    """

    # The loaders are prepared before any hook looks at them.
    priority = 'VERY_HIGH'

    def __init__(self, loader_timeout: float = 600):
        if not isinstance(loader_timeout, (int, float)) or not loader_timeout > 0:
            raise ValueError(f'ProcessesHook: expected loader_timeout to be seconds above 0, got {loader_timeout!r}')
        self.loader_timeout = loader_timeout

    def before_run(self, runner: Runner) -> None:
        """Ask to be stopped when torchrun ends."""
        if 'TORCHELASTIC_RUN_ID' in os.environ:
            signal_when_parent_dies(signal.SIGTERM)

    def before_train(self, runner: Runner) -> None:
        """Watch the loaders of training and validation."""
        self._watch(runner.train_loop.dataloader)
        if runner.val_loop is not None:
            self._watch(runner.val_loop.dataloader)

    def before_val(self, runner: Runner) -> None:
        """Watch the loader of a validation without training."""
        self._watch(runner.val_loop.dataloader)

    def before_test(self, runner: Runner) -> None:
        """Watch the loader of a test."""
        self._watch(runner.test_loop.dataloader)

    def _watch(self, loader: DataLoader) -> None:
        end_with_parent(loader)
        watch_loader(loader, self.loader_timeout)
        name_files(loader.dataset)
