"""Samples that carry the seed of their augmentation from the sampler to whichever process loads them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info
from torch.utils.data import DataLoader, IterableDataset, Sampler

from .named_loading import load_named
from .random_state import loading_state_kept, seed_loading

_LOADING = 1
"""Second number of the seeds of samples; those of a model's iterations have others there."""


class Sample(NamedTuple):
    """What a data set is asked for, and when.

    Attributes:
        index: What the sampler gave, mostly a number.
        number: Which pass over the data it belongs to: the epoch, or 0 throughout for endless samplers.
        position: Its place in that pass among the samples of all processes.
    """

    index: Any
    number: int
    position: int


class SeededLoading:
    """Loads samples of a data set, each with generators seeded from the seed of the run and its place in the data.

    What is drawn for a sample then depends neither on the process that loads it nor on what that loaded before. The
    generators of the calling process are put back.

    The fetchers of torch call it as the `__getitems__` of the data set, so the data set stays the object that hooks
    and samplers know, and takes this along into forked and spawned processes.
    """

    def __init__(self, dataset: Any, seed: int):
        self.dataset = dataset
        self.seed = seed

    def __call__(self, samples: list[Any]) -> list[Any]:
        """Load the samples of a batch; plain indices, from a loader of someone else's, as that expects it."""
        if not all(isinstance(sample, Sample) for sample in samples):
            return [load_named(self.dataset, index) for index in samples]
        with loading_state_kept():
            return [self._load(sample) for sample in samples]

    def _load(self, sample: Sample) -> Any:
        seed_loading(self.seed, _LOADING, sample.number, sample.position)
        return load_named(self.dataset, sample.index)


class SeededBatches(Sampler):
    """The batches of a batch sampler, as lists of `Sample`.

    Args:
        batches: The batch sampler.
        sampler: What it samples from, whose `set_epoch` is called if it has one.
        endless: Whether the passes follow each other without end, as in iteration-based loops.
    """

    def __init__(self, batches: Any, sampler: Any, endless: bool):
        self.inner = batches
        self.endless = endless
        self.number = 0
        self.given: deque[list[Sample]] = deque()
        self._sampler = sampler
        self._skip = 0

    def start(self, number: int, skip: int = 0) -> None:
        """Set the pass that the next iteration gives, without its first `skip` batches."""
        self.number = number
        self._skip = skip
        self.given.clear()
        if hasattr(self._sampler, 'set_epoch'):
            self._sampler.set_epoch(number)

    def __len__(self) -> int:
        return len(self.inner)

    def __getattr__(self, name: str) -> Any:
        # What others look for in a batch sampler: its sampler, its batch size.
        if name == 'inner':
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __iter__(self) -> Iterator[list[Sample]]:
        while True:
            in_pass = given = 0
            for samples in self._of_pass():
                in_pass += 1
                if self._skip:
                    self._skip -= 1
                    continue
                given += 1
                self.given.append(samples)
                yield samples
            if given or not in_pass or not self.endless:
                return
            # Everything of this pass was skipped: a resumed run stands in a later one.
            self.start(self.number + 1, self._skip)

    def _of_pass(self) -> Iterator[list[Sample]]:
        rank, processes = get_dist_info()
        position = rank
        for indices in self.inner:
            samples = []
            for index in indices:
                # The samplers of OpenMMLab deal one list to the processes in turn.
                samples.append(Sample(index, self.number, position))
                position += processes
            yield samples


class EndlessBatches:
    """What an iteration-based loop takes its batches from, pass after pass.

    It stands in for the iterator of mmengine, which restarts the data when the sampler ends and, on resumption, does
    not know the pass it stands in (and in mmengine 0.10.7 loads every batch that was trained on to throw it away).

    Args:
        loader: The loader of the loop, whose batch sampler is a `SeededBatches`.
        unread: How often the loop will ask for batches that it drops.
    """

    def __init__(self, loader: DataLoader, unread: int = 0):
        self._loader = loader
        self._unread = unread
        self._batches: Iterator[Any] | None = None

    def __iter__(self) -> EndlessBatches:
        return self

    def __next__(self) -> Any:
        if self._unread:
            self._unread -= 1
            return None
        if self._batches is None:
            self._batches = iter(self._loader)
        try:
            return next(self._batches)
        except StopIteration:
            batches = self._loader.batch_sampler
            batches.start(batches.number + 1)
            self._batches = iter(self._loader)
        try:
            return next(self._batches)
        except StopIteration as error:
            raise ValueError(
                'The training data give no batch: there are fewer images than batch_size, and drop_last is set. '
                'Lower train_dataloader.batch_size.'
            ) from error

    def skip_iter(self, count: int) -> None:
        """Called by mmengine for a resumed run; the batch sampler has been given the start."""


def sampler_of(loader: DataLoader) -> Any:
    """The sampler that decides the order of the data: the one within the batch sampler, or the batch sampler."""
    batches = loader.batch_sampler
    return getattr(batches, 'sampler', batches)


def seed_samples(loader: DataLoader, seed: int, endless: bool) -> SeededBatches | None:
    """Let a loader seed every sample; None if its data have no indices or no batches.

    Must be called before the loader is iterated over, or what was loaded ahead must be dropped: a sampler of mmengine
    that never ends is set back to its beginning.
    """
    if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        return None
    sampler = sampler_of(loader)
    inner = loader.batch_sampler
    batches = SeededBatches(inner.inner if isinstance(inner, SeededBatches) else inner, sampler, endless)
    if isinstance(sampler, InfiniteSampler):
        sampler.indices = sampler._indices_of_rank()
    loader.dataset.__getitems__ = SeededLoading(loader.dataset, seed)
    # DataLoader refuses to have its parts exchanged by plain assignment, as its iterators would not notice.
    object.__setattr__(loader, 'batch_sampler', batches)
    loader._iterator = None
    return batches
