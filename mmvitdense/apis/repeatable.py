"""Random numbers that depend on the seed and the iteration alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, sync_random_seed
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .resume import skip_trained_data


def fix_seed(cfg: Any, resumed_seed: int | None) -> None:
    """Give a config without a seed the one of the run it resumes, or a random one that all processes share.

    mmengine would seed the data order apart from the run in that case, and a resumed run would see another order.
    """
    randomness = dict(cfg.get('randomness') or {})
    if randomness.get('seed') is None:
        randomness['seed'] = sync_random_seed() if resumed_seed is None else resumed_seed
    cfg.randomness = randomness


class IterationSeedHook(Hook):
    """Seed Python, NumPy and torch anew before each training iteration, from the seed, the rank and the iteration.

    What an iteration draws (augmentation in the main process, sampled proposals, drop path) then does not depend on
    what ran before it, so a run that was killed and resumed repeats the uninterrupted one. Loader processes
    (`num_workers > 0`) draw their augmentation from generators of their own, which start anew when a run resumes:
    the images still come in the same order.
    """

    priority = 'LOWEST'

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed what loads the first batch."""
        skip_trained_data(runner.train_loop)
        self._seed(runner, runner.iter, 0)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the forward pass."""
        self._seed(runner, runner.iter, 1)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Seed what loads the next batch."""
        self._seed(runner, runner.iter + 1, 0)

    def after_val(self, runner: Runner) -> None:
        """Undo what the evaluation drew."""
        self._seed(runner, runner.iter, 0)

    @staticmethod
    def _seed(runner: Runner, iteration: int, part: int) -> None:
        words = np.random.SeedSequence([runner.seed, get_rank(), iteration, part]).generate_state(3)
        random.seed(int(words[0]))
        np.random.seed(words[1])
        torch.manual_seed(int(words[2]))
