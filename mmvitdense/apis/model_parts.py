"""The parts of a detector or segmentor, and what each of them takes of something that is counted while a model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

Number = float
"""Operations, or seconds."""


def parts_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Backbone, neck, heads, ...: the name of each part in the model, and the part; the preprocessor is none."""
    for name, part in model.named_children():
        if name != 'data_preprocessor':
            heads = [(f'{name}.{below}', child) for below, child in part.named_children()] if name == 'roi_head' else []
            yield from heads or [(name, part)]


@contextmanager
def counted_parts(model: nn.Module, read: Callable[[], Number], found: dict[str, Number]) -> Iterator[None]:
    """Add to `found`, by the names of `parts_of`, what each part takes while inside.

    A part within another one counts for the outer. Parts are counted where their `forward` runs, whoever calls it:
    heads are called by other methods than `__call__` too, where hooks see nothing.

    Args:
        model: The model.
        read: Gives what was taken until then, a number that grows.
        found: What was taken so far.
    """
    inside: list[str] = []
    wrapped = [
        (module, counting(module.forward, name, read, found, inside))
        for name, part in parts_of(model)
        for module in (part if isinstance(part, nn.ModuleList) else [part])
    ]
    for module, forward in wrapped:
        module.forward = forward
    try:
        yield
    finally:
        for module, _ in wrapped:
            del module.forward


def counting(
    function: Callable[..., Any],
    name: str,
    read: Callable[[], Number],
    found: dict[str, Number],
    inside: list[str] | None = None,
) -> Callable[..., Any]:
    """The function, which adds what it takes to `found[name]` unless it is called within another such one.

    Args:
        function: What is called.
        name: For what it takes.
        read, found: As for `counted_parts`.
        inside: Names of those that run, common to all that may call each other.
    """
    inside = [] if inside is None else inside

    def counted(*args: Any, **kwargs: Any) -> Any:
        if inside:
            return function(*args, **kwargs)
        inside.append(name)
        before = read()
        try:
            return function(*args, **kwargs)
        finally:
            inside.pop()
            found[name] = found.get(name, 0) + read() - before

    return counted
