"""Linear layers by the faster of torch's two CPU libraries.

For float32 torch takes MKL, which uses AVX-512 on Intel's processors only; oneDNN, which torch takes for convolutions,
uses it wherever it is. On an AMD processor with AVX-512 its products are about twice as fast.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VARIABLE = 'MMVITDENSE_LINEAR'
"""Environment variable: 'torch' for torch's own choice everywhere, 'onednn' for oneDNN on every CPU that has it."""
SMALLEST_PRODUCT = 2**23
"""Multiplications below which the call itself takes longer than MKL saves."""


class Linear(nn.Linear):
    """``nn.Linear``, computed by ``linear``."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ... x in_features to ... x out_features."""
        return linear(tokens, self.weight, self.bias)


def linear(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear``: ... x in, out x in and out to ... x out."""
    if not _worth_onednn(tokens, weight, bias):
        return F.linear(tokens, weight, bias)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (tokens, weight, bias)):
        return _OneDnnLinear.apply(tokens, weight, bias)
    return _product(tokens, weight, bias)


def _worth_onednn(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    # Compilers, tracers and counters of operations know torch's own operators only.
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._len_torch_dispatch_stack():
        return False
    plain = all(
        type(t) in (Tensor, nn.Parameter) and t.device.type == 'cpu' and t.dtype == torch.float32
        for t in (tokens, weight, bias)
        if t is not None
    )
    return (
        plain
        and tokens.dim() > 1
        and tokens.numel() * weight.shape[0] >= SMALLEST_PRODUCT
        and _onednn_is_faster()
        and torch.backends.mkldnn.enabled
        and not torch.is_autocast_enabled('cpu')
    )


@lru_cache(maxsize=1)
def _onednn_is_faster() -> bool:
    choice = os.environ.get(VARIABLE, 'auto')
    if choice not in ('auto', 'torch', 'onednn'):
        raise ValueError(f"{VARIABLE} must be 'auto', 'torch' or 'onednn', got {choice!r}")
    available = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, '_linear_pointwise')
    if choice != 'auto' or not available:
        return available and choice == 'onednn'
    wide = torch.backends.cpu.get_cpu_capability() == 'AVX512'
    return wide and torch.backends.mkl.is_available() and _made_by_amd()


def _made_by_amd() -> bool:
    description = Path('/proc/cpuinfo')
    text = description.read_text() if description.exists() else os.environ.get('PROCESSOR_IDENTIFIER', '')
    return 'AuthenticAMD' in text


def _product(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(_dense(tokens), _dense(weight), bias, 'none', [], '')


def _dense(tensor: Tensor) -> Tensor:
    """What has gaps in memory oneDNN multiplies some hundred times slower."""
    transposed = tensor.dim() == 2 and tensor.t().is_contiguous()
    return tensor if transposed or tensor.is_contiguous() else tensor.contiguous()


class _OneDnnLinear(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(tokens, weight, bias):
        return _product(tokens, weight, bias)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx, grad):
        tokens, weight = ctx.saved_tensors
        for_tokens = for_weight = for_bias = None
        rows = grad.flatten(0, -2)
        if ctx.needs_input_grad[0]:
            for_tokens = linear(grad, weight.t())
        if ctx.needs_input_grad[1]:
            for_weight = linear(rows.t(), tokens.flatten(0, -2).t())
        if ctx.needs_input_grad[2]:
            for_bias = rows.sum(0)
        return for_tokens, for_weight, for_bias
