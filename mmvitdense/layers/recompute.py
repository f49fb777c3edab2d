"""Recomputing layers in the backward pass, to save memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def recomputed(function: nn.Module | Callable[..., Any], *args: Any, when: bool, **kwargs: Any) -> Any:
    """Call a module or a method of one, and call it again in the backward pass instead of keeping what is inside.

    Random choices, such as those of drop path, are repeated, and batch norms count once.

    Args:
        function: The module, or its method.
        *args: Its arguments.
        when: False calls it as usual, as does a forward pass without gradients.
        **kwargs: Its arguments by name.
    """
    if not (when and torch.is_grad_enabled()):
        return function(*args, **kwargs)
    module = function if isinstance(function, nn.Module) else function.__self__
    norms = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    # Compilers do not take a context of one's own.
    contexts = {'context_fn': partial(_contexts, norms)} if norms else {}
    return checkpoint(function, *args, use_reentrant=False, **contexts, **kwargs)


def _contexts(norms: list[nn.Module]) -> tuple[AbstractContextManager, AbstractContextManager]:
    return nullcontext(), _statistics_kept(norms)


@contextmanager
def _statistics_kept(norms: list[nn.Module]) -> Iterator[None]:
    """Batch norms that run a second time count once: the second time they write to copies."""
    kept = [(layer, name, buffer) for layer in norms for name, buffer in layer.named_buffers()]
    try:
        for layer, name, buffer in kept:
            setattr(layer, name, buffer.clone())
        yield
    finally:
        for layer, name, buffer in kept:
            setattr(layer, name, buffer)
