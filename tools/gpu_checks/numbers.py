"""How far results are apart, and random numbers that are the same on every device."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_FACTORIES = (torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal)
_LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}
_IN_PLACE = {
    Tensor.bernoulli_,
    Tensor.uniform_,
    Tensor.normal_,
    Tensor.random_,
    Tensor.exponential_,
}
_DROPOUT = (F.dropout, torch.dropout)
_DROPOUT_OF_CHANNELS = (F.dropout1d, F.dropout2d, F.dropout3d)


class SameRandomNumbers(TorchFunctionMode):
    """Draw all random numbers on the CPU in float32, so that two devices and types compute with the same ones."""

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _FACTORIES:
            return _on_cpu(func, args, kwargs)
        if func in _LIKE:
            return _LIKE[func](args[0].shape).to(args[0].device, kwargs.get('dtype') or args[0].dtype)
        if func is torch.randint_like:
            dtype = kwargs.pop('dtype', None) or args[0].dtype
            kwargs.pop('device', None)
            return func(torch.empty(args[0].shape), *args[1:], **kwargs).to(args[0].device, dtype)
        if func in _IN_PLACE:
            tensor, *rest = args
            drawn = torch.empty(tensor.shape, dtype=torch.float32 if tensor.is_floating_point() else tensor.dtype)
            moved = [value.cpu() if isinstance(value, Tensor) else value for value in rest]
            with torch.no_grad():
                return tensor.copy_(func(drawn, *moved, **kwargs))
        if func in (torch.bernoulli, torch.multinomial):
            first, *rest = args
            return func(first.float().cpu(), *rest, **kwargs).to(first.device, _type_after(func, first))
        if func in _DROPOUT:
            return _dropout(*args, **kwargs)
        if func in _DROPOUT_OF_CHANNELS:
            return _dropout(*args, **kwargs, dims=2)
        return func(*args, **kwargs)


def _on_cpu(func: Callable, args: tuple, kwargs: dict[str, Any]) -> Tensor:
    device = kwargs.pop('device', None)
    generator = kwargs.get('generator')
    if generator is not None and generator.device.type != 'cpu':
        kwargs.pop('generator')
    moved = [value.cpu() if isinstance(value, Tensor) else value for value in args]
    return func(*moved, **kwargs).to(device or 'cpu')


def _type_after(func: Callable, first: Tensor) -> torch.dtype:
    return first.dtype if func is torch.bernoulli else torch.int64


def _dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, dims: int | None = None
) -> Tensor:
    """Drop numbers, or what the first `dims` dimensions count."""
    if not training or not p:
        return input
    shape = [side if dims is None or place < dims else 1 for place, side in enumerate(input.shape)]
    kept = torch.empty(shape).bernoulli_(1 - p).to(input.device, input.dtype)
    return input * kept / (1 - p)


def distance(found: Iterable[Tensor], wanted: Iterable[Tensor]) -> float:
    """The norm of the difference of some tensors over the norm of those wanted."""
    difference = total = 0.0
    for one, other in zip(found, wanted, strict=True):
        one, other = one.detach().double().cpu(), other.detach().double().cpu()
        if one.shape != other.shape:
            return float('inf')
        difference += (one - other).square().sum().item()
        total += other.square().sum().item()
    if difference != difference:
        return float('nan')
    return (difference / total) ** 0.5 if total else float(difference > 0)


def farthest(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> tuple[str, float]:
    """The name of the tensor that is farthest from the one wanted, as a part of the norm of all, and that part."""
    total = sum(tensor.double().square().sum().item() for tensor in wanted.values()) ** 0.5 or 1.0
    parts = {
        name: (found[name].double().cpu() - wanted[name].double().cpu()).norm().item() / total
        for name in wanted
        if name in found
    }
    name = max(parts, key=parts.get, default='')
    return name, parts.get(name, 0.0)
