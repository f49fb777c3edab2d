"""Adaptive average pooling whose graph holds for maps of any size."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class AnyAdaptivePooling(nn.Module):
    """`nn.AdaptiveAvgPool2d` as two products with matrices that are made of the size of the map.

    torch.export writes the pooling down for the size it sees, with indices that are wrong at others.

    Args:
        size: Height and width of the result.
    """

    def __init__(self, size: tuple[int, int]):
        super().__init__()
        self.size = size

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x C x H x W to B x C x height x width."""
        rows, columns = (_weights(side, count, maps) for side, count in zip(maps.shape[-2:], self.size))
        return rows @ maps @ columns.T


def _weights(side: int, count: int, like: Tensor) -> Tensor:
    """The weight of each of `side` places in each of `count` means, count x side."""
    number = torch.arange(count, device=like.device)[:, None]
    start, stop = number * side // count, ((number + 1) * side + count - 1) // count
    place = torch.arange(side, device=like.device)[None]
    return ((place >= start) & (place < stop)).to(like.dtype) / (stop - start).to(like.dtype)


def with_any_pooling(model: nn.Module) -> nn.Module:
    """A copy of the model, with the same weights, whose adaptive poolings take maps of any size."""
    memo = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    model = copy.deepcopy(model, memo)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size not in (1, (1, 1)):
                size = child.output_size
                setattr(module, name, AnyAdaptivePooling(size if isinstance(size, tuple) else (size, size)))
    return model
