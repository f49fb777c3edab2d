"""A model as it is exported: one module from pixels to results, and what its inputs and outputs are."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from .errors import ExportError


@dataclasses.dataclass(frozen=True)
class Wrapped:
    """A module for torch.export, in evaluation mode on the CPU.

    Attributes:
        module: Takes `image` B x 3 x H x W, and `size` and `scale` where they are among the inputs.
        task: 'boxes' (boxes, and masks where the model has them), 'queries' (classes and masks of queries) or
            'semantic'.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        any_batch: Whether one file can serve batches of any size.
        any_size: Whether one file can serve images of any size.
        patch: Sides of images are multiples of it in a file for any size.
        test_cfg: Numbers that what becomes of the outputs depends on.
    """

    module: nn.Module
    task: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    any_batch: bool
    any_size: bool
    patch: int = 1
    test_cfg: dict[str, Any] = dataclasses.field(default_factory=dict)

    def example(self, batch: int, size: tuple[int, int]) -> tuple[Tensor, ...]:
        """Inputs of the right form, of noise."""
        generator = torch.Generator().manual_seed(0)
        made = {
            'image': torch.rand((batch, 3, *size), generator=generator) * 255,
            'size': torch.tensor([size] * batch),
            'scale': torch.ones(batch, 2),
        }
        return tuple(made[name] for name in self.inputs)


def check_channels(pixels: nn.Module) -> nn.Module:
    """Refuse models of other images than colour."""
    if pixels.mean is not None and len(pixels.mean) not in (1, 3):
        raise ExportError(
            f'The preprocessor of the model has means of {len(pixels.mean)} channels; what can be exported takes '
            'images of three.'
        )
    return pixels
