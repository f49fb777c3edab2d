"""Where the numbers of a training step stop being finite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Source:
    """What the replay of a batch showed.

    Attributes:
        place: Where numbers that are not finite came up first, as part of a sentence; None if all were finite.
        losses: The losses and other numbers that the model gave, {name: number}, empty if it gave none.
    """

    place: str | None = None
    losses: dict[str, float] = field(default_factory=dict)


def find_source(model: nn.Module, batch: Any, context: Any = None) -> Source:
    """Run a training step without the step of the optimizer, and find the first number that is not finite.

    Weights are looked at first, then what modules give in the order in which they end (so the innermost is named),
    then the gradients of these in the order of the backward pass, then those of the weights.

    Args:
        model: An mmengine model without a wrapper, in training mode, with the generators that it draws from set.
        batch: What its loader gave.
        context: A context for the forward pass, such as autocast.

    Returns:
        The first place. An exception within the forward pass after such a number does not matter; one before it is
        raised. Gradients are left on the parameters.
    """
    for name, parameter in model.named_parameters():
        if not _is_finite(parameter):
            return Source(f'the weights {name}, {_count(parameter)}')
    source = Source()
    with torch.enable_grad(), _outputs_watched(model, source):
        try:
            with context or nullcontext():
                losses = model(**model.data_preprocessor(batch, True), mode='loss')
        except Exception:
            if source.place is None:
                raise
            return source
        total, values = model.parse_losses(losses)
        source.losses = {name: float(value.detach()) for name, value in values.items()}
        if source.place is None and total.requires_grad:
            total.backward()
    if source.place is None:
        source.place = _first_gradient(model)
    return source


@contextmanager
def _outputs_watched(model: nn.Module, source: Source) -> Iterator[None]:
    """Note the first module with an output, or a gradient of an output, that is not finite."""
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    with ExitStack() as handles:
        for name, module in model.named_modules():
            handle = module.register_forward_hook(_watch(name, kinds, source), with_kwargs=True)
            handles.callback(handle.remove)
        yield


def _watch(name: str, kinds: dict[str, str], source: Source) -> Any:
    where = f'{name} ({kinds[name]})' if name else f'the losses of {kinds[""]}, after modules that gave finite numbers'
    parent = name.rpartition('.')[0]
    within = f', that is within {parent} ({kinds[parent]})' if parent else ''

    def hook(module: nn.Module, arguments: tuple, named: dict, output: Any) -> None:
        for tensor in _tensors(output):
            if source.place is None and not _is_finite(tensor):
                # The code around the module is the source if it was given such numbers.
                given = [each for each in _tensors((arguments, named)) if not _is_finite(each)]
                source.place = (
                    f'the input of {where}{within}, {_count(given[0])}' if given else f'{where}, {_count(tensor)}'
                )
            if tensor.requires_grad and tensor.is_floating_point():
                tensor.register_hook(watch_gradient)

    def watch_gradient(gradient: Tensor) -> None:
        if source.place is None and not _is_finite(gradient):
            source.place = f'the gradient that reaches {where}, {_count(gradient)}'

    return hook


def _first_gradient(model: nn.Module) -> str | None:
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not _is_finite(parameter.grad):
            return f'the gradient of {name}, {_count(parameter.grad)}'
    return None


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.detach().isfinite().all())


def _count(tensor: Tensor) -> str:
    nan = int(tensor.detach().isnan().sum())
    kind, count = ('NaN', nan) if nan else ('infinite', int((~tensor.detach().isfinite()).sum()))
    return f'{count} of {tensor.numel()} numbers {kind}'


def _tensors(output: Any) -> Iterator[Tensor]:
    """All tensors within nested tuples, lists and dicts, and the elements of OpenMMLab."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (list, tuple)):
        for item in output:
            yield from _tensors(item)
    elif callable(getattr(output, 'values', None)):
        yield from _tensors(list(output.values()))
