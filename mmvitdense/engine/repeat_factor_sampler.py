"""Repeat-factor sampling: images of rare classes come more often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from torch import Tensor

from mmvitdense.registry import DATA_SAMPLERS

from .class_counts import classes_of_images


def repeat_factors(classes: Sequence[set[int]], threshold: float) -> Tensor:
    """How often each image is to come in an epoch, on average (LVIS, arXiv 1908.03195 appendix B.2).

    With f the fraction of images that show a class, its factor is max(1, sqrt(threshold / f)). That of an image is the
    largest of its classes, and 1 if it has none.

    Args:
        classes: The classes of each image.
        threshold: Fraction below which a class is repeated.
    """
    counts = Counter(label for image in classes for label in image)
    factors = {label: max(1.0, (threshold * len(classes) / count) ** 0.5) for label, count in counts.items()}
    return torch.tensor([max((factors[label] for label in image), default=1.0) for image in classes])


@DATA_SAMPLERS.register_module()
class RepeatFactorSampler(InfiniteSampler):
    """Endless sampler in whose epochs each image comes as often as its repeat factor says.

    A factor that is no whole number is rounded up or down at random, anew in each epoch, so that its mean is kept
    (detectron2 `data/samplers/distributed_sampler.py:RepeatFactorTrainingSampler`); mmengine's
    `ClassBalancedDataset` rounds up. All processes draw the same epochs and take turns.

    Args:
        dataset: A data set with `get_cat_ids(index)`, as those of mmdet.
        threshold: Fraction of images below which a class is repeated.
        shuffle: Whether each epoch has an order of its own.
        seed: Random seed; one that the processes agree on when None.
    """

    def __init__(self, dataset: Any, threshold: float, shuffle: bool = True, seed: int | None = None):
        super().__init__(dataset, shuffle, seed)
        self.repeat_factors = repeat_factors(classes_of_images(dataset), threshold)

    def _infinite_indices(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed)
        whole, fraction = self.repeat_factors.floor(), self.repeat_factors.frac()
        while True:
            rounded_up = torch.rand(len(fraction), generator=generator) < fraction
            epoch = torch.arange(self.size).repeat_interleave((whole + rounded_up).long())
            if self.shuffle:
                epoch = epoch[torch.randperm(len(epoch), generator=generator)]
            yield from epoch.tolist()
