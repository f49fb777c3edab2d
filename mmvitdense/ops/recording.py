"""Models written down for other programs: by torch.export, by an exporter to ONNX, or by torch.jit.trace."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn
from torch._C import _get_tracing_state
from torch.autograd import forward_ad

_PLAIN = (Tensor, nn.Parameter)


def is_exporting() -> bool:
    """Whether what runs is being written down, for which it has to consist of torch's own operators.

    Below torch 2.6, which does not distinguish torch.export from torch.compile, this is true for traces alone.
    """
    asked = getattr(torch.compiler, 'is_exporting', None)
    return torch.jit.is_tracing() or (asked is not None and asked())


def constant(function: Callable[[], Tensor]) -> Tensor:
    """What `function` returns, as a constant for whoever writes down the model.

    For random numbers, which the written model would draw anew, and for computations that it need not repeat.
    """
    if not is_exporting():
        return function()
    # Recorders follow one thread.
    with ThreadPoolExecutor(1) as elsewhere:
        found = elsewhere.submit(function).result()
    return torch.tensor(found.tolist(), dtype=found.dtype)


def runs_here(*tensors: Tensor | None) -> bool:
    """Whether tensors on a CPU are computed with now, in their own types, by a caller that need not see torch's own
    operators: nothing is compiled, recorded, counted, cast, transformed by functorch or differentiated forwards. A
    backward pass of our own is for there alone.
    """
    given = [tensor for tensor in tensors if tensor is not None]
    return (
        all(type(tensor) in _PLAIN and tensor.is_cpu for tensor in given)
        and not torch.compiler.is_compiling()
        and _get_tracing_state() is None
        and not torch._C._len_torch_dispatch_stack()
        and not torch.is_autocast_enabled('cpu')
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
    )


def is_trained(*tensors: Tensor | None) -> bool:
    """Whether a backward pass through one of these tensors may follow."""
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)
