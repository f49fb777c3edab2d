"""Weights in numbers of half precision, and by how much they differ then."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .reading import CheckpointError

DTYPES = {'float32': torch.float32, 'float16': torch.float16, 'bfloat16': torch.bfloat16}


@dataclass
class Rounding:
    """What rounding does to weights.

    Attributes:
        name: Of the type that floating-point weights are written in, a key of `DTYPES`; None to keep theirs.
        errors: {name of a weight: norm of what rounding changes, relative to that of the weight}.
    """

    name: str | None = None
    errors: dict[str, float] = field(default_factory=dict)

    def dtype_of(self, tensor: Tensor) -> torch.dtype:
        """The type in which a weight is written."""
        return DTYPES[self.name] if self.name and tensor.is_floating_point() else tensor.dtype

    def rounded(self, name: str, tensor: Tensor) -> Tensor:
        """A weight in the type in which it is written.

        Raises:
            CheckpointError: It has numbers that are too large for the type.
        """
        dtype = self.dtype_of(tensor)
        if tensor.dtype == dtype:
            return tensor
        wide = tensor.float()
        rounded = tensor.to(dtype)
        if (lost := int((wide.isfinite() & ~rounded.isfinite()).sum())) > 0:
            raise CheckpointError(
                f'{lost} numbers of {name} are too large for {self.name}, the largest is {wide.abs().max():.3g}: use '
                'bfloat16'
            )
        norm = wide.norm()
        if norm > 0:
            self.errors[name] = float((rounded.float() - wide).norm() / norm)
        return rounded

    def __str__(self) -> str:
        """One line about the error."""
        if not self.errors:
            return f'{self.name}: no weight is rounded'
        worst = max(self.errors, key=self.errors.__getitem__)
        mean = sum(self.errors.values()) / len(self.errors)
        return (
            f'{self.name}: rounding changes {len(self.errors)} weights by {mean:.2g} of their norm in the mean, at '
            f'most by {self.errors[worst]:.2g} ({worst})'
        )
