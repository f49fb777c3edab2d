"""Tensors without numbers, of which integers that are known stay: sizes of maps, by which heads split and index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

_FROM_DATA = (torch.tensor, torch.as_tensor)


@contextmanager
def integers_known() -> Iterator[None]:
    """While inside, tensors on the meta device that are made of known whole numbers are on the CPU instead.

    They can be read, as detection transformers read the heights and widths of their levels. Where one meets a tensor
    without numbers, what comes out has none.
    """
    with _MadeOfIntegers(), _MovedIntegers():
        yield


class _MadeOfIntegers(TorchFunctionMode):
    """`torch.tensor` and `torch.as_tensor`, which nothing below sees."""

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if function in _FROM_DATA and not isinstance(args[0] if args else None, Tensor):
            with torch.device('cpu'):
                made = function(*args, **{**kwargs, 'device': 'cpu'})
            if _is_integer(made):
                return made
        return function(*args, **kwargs)


class _MovedIntegers(TorchDispatchMode):
    """Copies to the meta device, and operators with tensors of both kinds."""

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if function is torch.ops.aten._to_copy.default and _is_integer(args[0]) and _to_meta(kwargs):
            return function(*args, **{**kwargs, 'device': torch.device('cpu')})
        if function is torch.ops.aten._to_copy.default and args[0].is_meta and kwargs.get('device') is not None:
            kwargs['device'] = torch.device('meta')  # as to the device of something that is known
        tensors = [each for each in _pytree.tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        # Single numbers may meet tensors of any device.
        if any(each.is_meta for each in tensors) and any(not each.is_meta and each.dim() for each in tensors):
            args, kwargs = _pytree.tree_map_only(Tensor, lambda each: each.to('meta'), (args, kwargs))
        return function(*args, **kwargs)


def _is_integer(tensor: Tensor) -> bool:
    return tensor.device.type == 'cpu' and not tensor.is_floating_point() and not tensor.is_complex()


def _to_meta(kwargs: dict) -> bool:
    return kwargs.get('device') is not None and torch.device(kwargs['device']).type == 'meta'
