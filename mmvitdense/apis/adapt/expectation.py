"""Memory and hours that a run is expected to take, from a few steps of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmengine.dist import get_world_size

from .trial import Measured, Trial


@dataclass(frozen=True)
class Expected:
    """What a run takes.

    Attributes:
        measured: Memory and time of a batch.
        budget: Bytes that a batch may take; None where it is not known.
        loading: Seconds of a process that loads an image.
        predicting: Seconds of the prediction of an image; None without validation.
    """

    measured: Measured
    budget: int | None
    loading: float
    predicting: float | None

    def seconds(self, runner: Any) -> float:
        """Of the training and its validations, those of several processes side by side."""
        loop = runner.train_loop
        loader = loop.dataloader
        batch = _side_by_side(self.measured.seconds, self.measured.images * self.loading, loader.num_workers)
        total = loop.max_iters * batch
        if runner._val_loop is not None and self.predicting is not None:
            checked = runner.val_loop.dataloader
            images = len(checked.dataset) / get_world_size()
            image = _side_by_side(self.predicting, self.loading, checked.num_workers)
            total += validations(loop) * images * image
        return total


def expect(trial: Trial, measured: Measured) -> Expected:
    """Measure what is missing."""
    slow = trial.memory is not None and not trial.memory.catches
    budget = None if trial.memory is None else trial.memory.budget
    return Expected(measured, budget, trial.loading, trial.predict(1 if slow else 2))


def validations(loop: Any) -> int:
    """How often a run validates."""
    by_epoch = not hasattr(loop, 'dataloader_iterator')
    length = loop.max_epochs if by_epoch else loop.max_iters
    return max(1, length // loop.val_interval)


def _side_by_side(computing: float, loading: float, workers: int) -> float:
    return max(computing, loading / workers) if workers else computing + loading
