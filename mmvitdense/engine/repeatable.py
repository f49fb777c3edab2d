"""Runs in which nothing random depends on what ran before: a resumed run repeats the uninterrupted one."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmvitdense.registry import HOOKS

from .random_state import seed_model
from .seeded_samples import EndlessBatches, Sample, SeededBatches, sampler_of, seed_samples

_TRAINING, _VALIDATION = 2, 3
"""Second numbers of the seeds of a model's iterations and of validations; those of samples have 1 there."""


@HOOKS.register_module()
class RepeatableHook(Hook):
    """Makes every draw of a run a function of its seed and of the iteration or the sample that it is drawn for.

    * The augmentation of a sample is drawn from generators seeded by the seed of the run, the pass over the data and
      the place of the sample in it. It is the same with any number of loader processes, persistent or not, differs
      between epochs, and leaves the generators of the main process alone. With the samplers of mmengine, which deal
      one list to all processes, it is also the same with any number of training processes.
    * The model (drop path, sampled proposals) draws in iteration i from generators seeded by the seed, the rank and i;
      a validation from others.
    * A resumed run goes on with the batch whose turn it is, in the middle of an epoch too, and no batch before it is
      loaded. The seed of the sampler comes from the checkpoint.

    It needs no launcher of this project: any tool that runs the config has it from
    `default_hooks = dict(repeatable=dict(type='mmvitdense.RepeatableHook'))`.

    Not covered: transforms that keep earlier images in their process (mmdet's `CachedMosaic`, `CachedMixUp`) or
    have generators of their own (albumentations 2), operators of a GPU that are not deterministic, and data without
    indices (`IterableDataset`), for which a line in the log says so.
    """

    # Before the hooks that save checkpoints; what other hooks draw in an iteration is seeded as well.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.samples: list[Sample] | None = None
        """What the batch of the current iteration was loaded from."""
        self._batches: SeededBatches | None = None
        self._trained_in_epoch = 0
        self._resumed: dict[str, Any] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note where the data of a run that is resumed stood."""
        if runner._resume:
            self._resumed = checkpoint['meta'].get('data_position', {})

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write where the data stand into the checkpoint."""
        checkpoint['meta']['data_position'] = self._order(runner) | {'trained_in_epoch': self._trained_in_epoch}

    def before_train(self, runner: Runner) -> None:
        """Let the loader seed every sample, from the position of a resumed run on."""
        loop = runner.train_loop
        endless = hasattr(loop, 'dataloader_iterator')
        resumed, self._resumed = self._resumed, None
        self._trained_in_epoch = (resumed or {}).get('trained_in_epoch', 0)
        if resumed:
            self._take_order(runner, resumed)
        self._batches = seed_samples(loop.dataloader, runner.seed, endless)
        if self._batches is None:
            print_log(
                f'{type(loop.dataloader.dataset).__name__} is loaded without indices or without batches: its '
                'augmentation cannot be repeated, and a resumed run begins with its first sample.',
                logger='current',
                level=logging.WARNING,
            )
        elif endless:
            skipped_by_loop = hasattr(loop.dataloader_iterator, 'skip_iter')
            self._batches.start(0, skip=loop.iter)
            loop.dataloader_iterator = EndlessBatches(loop.dataloader, unread=0 if skipped_by_loop else loop.iter)

    def before_train_epoch(self, runner: Runner) -> None:
        """Name the epoch in the seeds of its samples; a resumed one goes on where it stood."""
        if self._batches is not None and not self._batches.endless:
            self._batches.start(runner.epoch, skip=self._trained_in_epoch)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed what the iteration draws."""
        given = self._batches.given if self._batches is not None else None
        self.samples = given.popleft() if given else None
        seed_model(runner.seed, _TRAINING, get_rank(), runner.iter)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Count the batches of the epoch."""
        self._trained_in_epoch += 1

    def after_train_epoch(self, runner: Runner) -> None:
        """The next epoch begins with its first batch."""
        self._trained_in_epoch = 0

    def before_val(self, runner: Runner) -> None:
        """Seed what a validation draws."""
        seed_model(runner.seed, _VALIDATION, get_rank(), runner.iter)

    @staticmethod
    def _order(runner: Runner) -> dict[str, int | None]:
        """What the order of the data follows from."""
        loader = runner.train_loop.dataloader
        return {
            'seed': getattr(sampler_of(loader), 'seed', None),
            'batch_size': getattr(loader.batch_sampler, 'batch_size', None),
            'processes': get_world_size(),
        }

    def _take_order(self, runner: Runner, resumed: dict[str, Any]) -> None:
        """Give the sampler the seed of the run that is resumed, and say what else differs."""
        order = self._order(runner)
        if resumed['seed'] not in (None, order['seed']):
            sampler_of(runner.train_loop.dataloader).seed = resumed['seed']
        changed = [key for key in ('batch_size', 'processes') if order[key] != resumed[key]]
        if changed:
            self._trained_in_epoch = 0
            said = ', '.join(f'{key} {order[key]} instead of {resumed[key]}' for key in changed)
            print_log(
                f'The resumed run has {said}: its batches are not those of the uninterrupted run.',
                logger='current',
                level=logging.WARNING,
            )
