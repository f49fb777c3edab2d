"""A few steps of a training on its own data, which show the memory and the time of a batch."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch.utils.data import IterableDataset

from mmvitdense.engine.whole_checkpoint import bare_model, single_wrappers

from ..first_batch import collated, failures_named, generators_kept, load_samples
from ..prepared_run import hub_of_its_own
from .memory import memory_of

_SAMPLES = 8
"""Samples from all over the data, of which a batch has the largest."""


@dataclass(frozen=True)
class Measured:
    """What a batch takes.

    Attributes:
        images: Images of the batch.
        seconds: Of the training on it, without loading.
        memory: Bytes in use at most; None where it is not known.
    """

    images: int
    seconds: float
    memory: int | None


class Trial:
    """Trains and predicts with the parts of a runner that is only prepared, and is of no use afterwards.

    Generators of random numbers, the hub of messages and the data sets are as before; weights do not change, as all
    rates are zero, but running statistics do. Processes that train together each try alone: what one of them has to
    give up must not let others wait.

    Args:
        runner: What `build_runner(..., only_prepared=True)` gave.
        averaged: Whether the run holds an average of its weights besides.
    """

    def __init__(self, runner: Any, averaged: bool = False):
        self._runner, self._model = runner, bare_model(runner.model)
        self._loader = runner.train_loop.dataloader
        self._device = next((parameter.device for parameter in self._model.parameters()), torch.device('cpu'))
        self.memory = memory_of(self._device)
        self._held = _bytes(self._model.parameters()) if averaged else 0
        """Bytes that a run holds besides; sums of gradients of processes that train together are there already."""
        with generators_kept():
            started = time.monotonic()
            count = len(self._loader.dataset)
            places = [place * count // _SAMPLES for place in range(_SAMPLES)] if count > _SAMPLES else range(count)
            samples = load_samples(self._loader, 'train_dataloader', places)
            self.loading = (time.monotonic() - started) / len(samples)
            """Seconds of a process that loads an image."""
        self._samples = sorted(samples, key=_size, reverse=True)

    def train(self, images: int, accumulated: bool, steps: int = 3) -> Measured | None:
        """Train on a batch.

        Args:
            images: Images of it.
            accumulated: Whether gradients of other batches wait for the step.
            steps: How often; the last is timed.

        Returns:
            What it took, or None where the memory is not enough.
        """
        if self.memory is not None:
            self.memory.reset()
        fits, seconds = True, 0.0
        with self._alone(), steps_without_change(self._runner.optim_wrapper, 2 if accumulated else 1):
            self._model.train()
            for _ in range(steps):
                seconds = self._step(images)
                if seconds is None:
                    fits = False
                    break
        for wrapper in single_wrappers(self._runner.optim_wrapper):
            wrapper.optimizer.zero_grad(set_to_none=True)
        if not fits:
            return None
        return Measured(images, seconds, None if self.memory is None else self.memory.peak() + self._held)

    def predict(self, steps: int = 2) -> float | None:
        """Seconds of the prediction of an image of the validation; None without one."""
        loop = self._runner._val_loop
        if loop is None or isinstance(loop.dataloader.dataset, IterableDataset):
            return None
        with self._alone(), failures_named(self._model, 'val', self._runner), torch.no_grad():
            samples = load_samples(loop.dataloader, 'val_dataloader', range(1))
            self._model.eval()
            for _ in range(steps):
                batch = collated(loop.dataloader, 'val_dataloader', copy.deepcopy(samples))
                started = self._now()
                with torch.autocast(self._device.type, enabled=getattr(loop, 'fp16', False)):
                    self._model.val_step(batch)
                seconds = self._now() - started
        return seconds

    def _step(self, images: int) -> float | None:
        samples = [copy.deepcopy(self._samples[place % len(self._samples)]) for place in range(images)]
        batch = collated(self._loader, 'train_dataloader', samples)
        try:
            with failures_named(self._model, 'train', self._runner), _out_of_memory_passed():
                started = self._now()
                self._model.train_step(batch, self._runner.optim_wrapper)
                return self._now() - started
        except _DoesNotFit:
            return None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(generators_kept())
            stack.enter_context(hub_of_its_own(self._runner))
            # Losses and norms that average over processes would wait for those that have given up.
            stack.enter_context(mock.patch('torch.distributed.is_initialized', return_value=False))
            yield

    def _now(self) -> float:
        if self._device.type == 'cuda':
            torch.cuda.synchronize(self._device)
        return time.monotonic()


class _DoesNotFit(BaseException):
    """Passes through what gives other errors a name."""


@contextmanager
def _out_of_memory_passed() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        # Without the frames, which hold the tensors of the failed step.
        raise _DoesNotFit from None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a step failed for want of memory, whichever library says so."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error)
    return any(
        text in said
        for text in (
            'out of memory',
            "can't allocate memory",
            'CUBLAS_STATUS_ALLOC_FAILED',
            'CUDNN_STATUS_ALLOC_FAILED',
        )
    )


@contextmanager
def steps_without_change(optim_wrapper: Any, accumulated: int = 1) -> Iterator[None]:
    """Let steps change no weight.

    Args:
        optim_wrapper: What makes the steps.
        accumulated: Batches whose gradients a step waits for while inside.
    """
    wrappers = list(single_wrappers(optim_wrapper))
    groups = [group for wrapper in wrappers for group in wrapper.optimizer.param_groups]
    rates = [group['lr'] for group in groups]
    before = [(wrapper._accumulative_counts, wrapper._inner_count) for wrapper in wrappers]
    for group in groups:
        group['lr'] = group['lr'] * 0
    for wrapper in wrappers:
        wrapper._accumulative_counts, wrapper._inner_count = accumulated, 0
    try:
        yield
    finally:
        for group, rate in zip(groups, rates):
            group['lr'] = rate
        for wrapper, (counts, inner) in zip(wrappers, before):
            wrapper._accumulative_counts, wrapper._inner_count = counts, inner


def _bytes(parameters: Iterable[torch.Tensor]) -> int:
    return sum(part.numel() * part.element_size() for part in parameters)


def _size(sample: Any) -> tuple[int, int]:
    """Pixels and objects of a sample."""
    inputs, labels = (sample.get(name) if isinstance(sample, dict) else None for name in ('inputs', 'data_samples'))
    return (
        inputs.numel() if isinstance(inputs, torch.Tensor) else 0,
        len(getattr(labels, 'gt_instances', None) or ()),
    )
