"""Batches whose results are those of single images."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from torch import nn

from .inputs import Item

_AHEAD = 4


@dataclass
class Prepared:
    """An image that is ready for the model.

    Attributes:
        item: Where it is from.
        data: What the pipeline of the config gave.
        size: (height, width) of the image.
        image: The pixels, where they are to be kept.
        error: Why there is no `data`.
        place: Its number among the inputs.
    """

    item: Item
    data: Any = None
    size: tuple[int, int] = (0, 0)
    image: Any = None
    error: Exception | None = None
    place: int = 0


class Batching:
    """Puts images side by side that the model's preprocessor pads to one size.

    Padding changes what a ViT with global attention computes, so no image is padded further than it would be alone, and
    the images of a batch are those that are padded to the same size anyway: all, where the config pads to a fixed
    square; those of like shape, where it pads to multiples of 32 and the like. Images that have to wait for others of
    their size are at most three times as many as the batch has.

    Args:
        preprocessor: `data_preprocessor` of the model.
    """

    def __init__(self, preprocessor: nn.Module):
        self._preprocessor = preprocessor
        self._padded: dict[Hashable, Hashable] = {}

    def group(self, images: Iterable[Prepared], batch_size: int) -> Iterator[list[Prepared]]:
        """Groups of up to `batch_size` images; those with an error alone. The order may differ from that given."""
        waiting: dict[Hashable, list[Prepared]] = {}
        for image in images:
            if image.error is not None or batch_size == 1:
                yield [image]
                continue
            size = self._padded_size(image.data)
            group = waiting.setdefault(size, [])
            group.append(image)
            if len(group) == batch_size:
                yield waiting.pop(size)
            elif sum(map(len, waiting.values())) >= _AHEAD * batch_size:
                yield waiting.pop(next(iter(waiting)))
        yield from waiting.values()

    def collate(self, images: list[Prepared]) -> dict[str, Any]:
        """What the model takes, each image preprocessed as if it were alone."""
        parts = [self._preprocessor(pseudo_collate([image.data]), False) for image in images]
        inputs = [part['inputs'] for part in parts]
        joined = (
            torch.cat(inputs) if isinstance(inputs[0], torch.Tensor) else [image for part in inputs for image in part]
        )
        samples = [sample for part in parts for sample in part['data_samples']]
        return {**parts[0], 'inputs': joined, 'data_samples': samples}

    def _padded_size(self, data: Any) -> Hashable:
        shape = tuple(data['inputs'].shape)
        if shape not in self._padded:
            inputs = self._preprocessor(pseudo_collate([data]), False)['inputs']
            self._padded[shape] = tuple(inputs.shape) if isinstance(inputs, torch.Tensor) else shape
        return self._padded[shape]
