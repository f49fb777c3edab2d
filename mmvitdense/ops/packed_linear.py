"""Linear layers for inference on a CPU: weights laid out once as oneDNN multiplies them, and the activation or the sum
that follows done while a product is still in the cache."""

from __future__ import annotations

import os
import platform
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .inference_layer import InferenceLayer
from .processor import multiplies_bfloat16
from .product_choice import VARIABLE, packed_pays

ACTIVATIONS = {'none': ('none', ''), 'gelu': ('gelu', 'none'), 'gelu_tanh': ('gelu', 'tanh'), 'silu': ('swish', '')}
"""What may follow a product: oneDNN's names for it. Its ReLU is left out, as it makes zeros of what is not a number."""
_ROWS = 1024
"""Rows of the products that the layout of the weights is chosen for; others are right too."""


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether this machine multiplies by packed weights of a type, and gains by it.

    float32: x86 with oneDNN where that is as fast as torch's product, see `packed_pays`, or MMVITDENSE_LINEAR says so.
    bfloat16: processors with instructions for it.
    """
    there = hasattr(torch.ops.mkldnn, '_linear_pointwise') and hasattr(torch.ops.mkldnn, '_reorder_linear_weight')
    if not (torch.backends.mkldnn.is_available() and there and platform.machine().lower() in ('x86_64', 'amd64')):
        return False
    if dtype == torch.bfloat16:
        return multiplies_bfloat16()
    return dtype == torch.float32 and os.environ.get(VARIABLE, 'auto') != 'torch' and packed_pays()


class PackedLinear(InferenceLayer):
    """A linear layer, an activation, and the sum with a residual; on a CPU, in inference alone.

    It holds no parameters: its weight is in oneDNN's own layout. Inputs of other types are cast to its own.

    Args:
        weight: out_features x in_features.
        bias: out_features, or None.
        dtype: float32 or bfloat16, in which it is kept and computes.
        activation: One of `ACTIVATIONS`.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, activation: str = 'none'):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f'activation must be one of {tuple(ACTIVATIONS)}, got {activation!r}')
        self.out_features, self.in_features = weight.shape
        self.dtype, self.activation = dtype, activation
        self.bias = None if bias is None else bias.detach().to(dtype, copy=True)
        self._pack(weight.detach())
        self.eval()

    @property
    def weight(self) -> Tensor:
        """The weight in the order of `nn.Linear`, made anew each time."""
        return self._packed.to_dense()

    def forward(self, tokens: Tensor, residual: Tensor | None = None) -> Tensor:
        """Map ... x in_features to ... x out_features; `residual`, of the shape of the result, is added.

        The sum with a residual is in float32 whatever the layer computes in: many are added up in a row.

        Raises:
            RuntimeError: More is asked than the inference of a CPU.
        """
        self.check(tokens)
        tokens = tokens.to(self.dtype)
        joins = residual is not None and residual.dtype == self.dtype == torch.float32 and self.activation == 'none'
        if joins and residual.shape[:-1] == tokens.shape[:-1]:
            return torch.ops.mkldnn._linear_pointwise.binary(tokens, residual, self._packed, self.bias, 'add')
        name, algorithm = ACTIVATIONS[self.activation]
        out = torch.ops.mkldnn._linear_pointwise(tokens, self._packed, self.bias, name, [], algorithm)
        # Widened first: torch adds tensors of two types several times slower than of one.
        return out if residual is None else out.float() + residual.float()

    def extra_repr(self) -> str:
        """What torch prints of the layer."""
        names = f'in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}'
        return f'{names}, {str(self.dtype).removeprefix("torch.")}, activation={self.activation}'

    def _pack(self, weight: Tensor) -> None:
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.to(self.dtype).contiguous(), _ROWS)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which cannot hold oneDNN's layout."""
        return {**self.__dict__, '_packed': self._packed.to_dense()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._pack(self._packed)
