"""A wrapped model as a graph of PyTorch's operators."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.export import Dim, ExportedProgram

from mmvitdense import ops

from .errors import ExportError
from .wrapped import Wrapped

_UNEVEN = (37, 41)
"""Patches on the sides of an example for files of any size: padding to windows of any length is then in the graph."""


def trace(wrapped: Wrapped, size: tuple[int, int], batch: int | None = 1, any_size: bool = False) -> ExportedProgram:
    """Trace a module.

    Args:
        wrapped: What to trace.
        size: Height and width of the images.
        batch: How many images a call takes; None for any number.
        any_size: Whether images of other sizes fit; then `size` is of no account.

    Raises:
        ExportError: the model cannot have such a graph.
    """
    if batch is None and not wrapped.any_batch:
        raise ExportError(
            'A batch of any size cannot be exported for this model, as boxes are suppressed for each image: give '
            '--batch with a number.'
        )
    if any_size and not wrapped.any_size:
        raise ExportError(
            'Images of any size cannot be exported for this model, whose anchors or levels are constants of one size: '
            'give --size HEIGHT WIDTH without --dynamic size.'
        )
    if any_size:
        size = tuple(side * wrapped.patch for side in _UNEVEN)
    example = wrapped.example(2 if batch is None else batch, size)
    with standard_operators(), torch.no_grad():
        return torch.export.export(
            wrapped.module, example, dynamic_shapes=_dims(wrapped, batch is None, any_size), strict=False
        )


def _dims(wrapped: Wrapped, any_batch: bool, any_size: bool) -> tuple[dict[int, object], ...] | None:
    if not any_batch and not any_size:
        return None
    batch = {0: Dim('batch')} if any_batch else {}
    sides = {2: wrapped.patch * Dim('rows'), 3: wrapped.patch * Dim('columns')} if any_size else {}
    return tuple(batch | sides if name == 'image' else dict(batch) for name in wrapped.inputs)


@contextmanager
def standard_operators() -> Iterator[None]:
    """Deformable attention as PyTorch's own operators while a block runs, and none of the exporters' warnings."""
    before = ops.backends.chosen()
    ops.set_backend('reference')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        ops.set_backend(before)
