"""Backward passes by autograd, for ops whose forward is written in differentiable tensor operations."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def fill_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], grad_output: Tensor, gradients: Sequence[Tensor]
) -> None:
    """Write the gradients of `function(*inputs)` for `grad_output` into `gradients`, one for each input."""
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in inputs]
        output = function(*leaves)
    if output.numel() == 0:
        return
    found = torch.autograd.grad(output, leaves, grad_output.to(output.dtype), allow_unused=True)
    for target, gradient in zip(gradients, found):
        if gradient is not None:
            target.copy_(gradient)
