"""Linear layers by the faster of torch's two CPU libraries.

For float32 torch takes MKL, which uses AVX-512 on Intel's processors only; oneDNN, which torch takes for convolutions,
uses it wherever it is. Where its instructions are twice as wide, its products are about twice as fast; which library
is faster in which product is measured, see `product_choice`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._C import _get_tracing_state
from torch.compiler import is_compiling

from .packed_linear import PackedLinear
from .product_choice import onednn_forms, onednn_product
from .recording import runs_here

_HOOKS = ('_forward_pre_hooks', '_forward_hooks', '_backward_pre_hooks', '_backward_hooks')
SMALLEST_PRODUCT = 2**23
"""Multiplications below which the call itself takes longer than MKL saves."""
_PLAIN = (Tensor, nn.Parameter)


Linear = nn.Linear
"""The layers of our models are torch's own: quantisation, pruning, adapters and tracers look for exactly that type.
What is faster lies in the call, see `apply_linear`."""
_FORWARD = nn.Linear.forward


def apply_linear(layer: nn.Module, tokens: Tensor, residual: Tensor | None = None) -> Tensor:
    """`layer(tokens)`, by `linear` where that is all that calling the layer does, plus a residual.

    Args:
        layer: A linear layer, or what someone put in its place.
        tokens: ... x in_features.
        residual: Added to the result, of its shape; None for none.

    Returns:
        ... x out_features.
    """
    if residual is not None:
        return layer(tokens, residual) if type(layer) is PackedLinear else residual + apply_linear(layer, tokens)
    if type(layer) is nn.Linear and _is_large(tokens, layer.out_features) and is_plain(layer):
        return linear(tokens, layer.weight, layer.bias)
    return layer(tokens)


def is_plain(layer: nn.Module) -> bool:
    """Whether calling the layer is `F.linear` of its parameters and nothing else: no hook, no other forward."""
    if type(layer) is PackedLinear:
        return layer.activation == 'none' and is_unwatched(layer)
    return type(layer) is nn.Linear and nn.Linear.forward is _FORWARD and is_unwatched(layer)


def is_unwatched(module: nn.Module) -> bool:
    """Whether calling the module is the `forward` of its class and nothing else: no hook, no other forward."""
    return (
        'forward' not in vars(module)
        and module._compiled_call_impl is None
        and not any(getattr(module, name) or getattr(nn.modules.module, f'_global{name}') for name in _HOOKS)
    )


def linear(tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`: ... x in, out x in and out to ... x out."""
    return _multiply('outputs', tokens, weight, bias)


def _multiply(form: str, tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` as the product that is one of `FORMS`."""
    # The choice comes last: it is measured where all else is in favour.
    forms = onednn_forms() if _fits_onednn(tokens, weight, bias) else ()
    if not forms:
        return F.linear(tokens, weight, bias)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (tokens, weight, bias)):
        return _Linear.apply(form, tokens, weight, bias)
    return _product(tokens, weight, bias) if form in forms else F.linear(tokens, weight, bias)


def _is_large(tokens: Tensor, out_features: int) -> bool:
    """What is cheap to ask, as a small product takes no longer than a few questions."""
    # Compilers, tracers and counters of operations know torch's own operators only.
    return (
        not is_compiling()
        and _get_tracing_state() is None
        and type(tokens) in _PLAIN
        and tokens.is_cpu
        and tokens.numel() * out_features >= SMALLEST_PRODUCT
    )


def _fits_onednn(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    return (
        _is_large(tokens, weight.shape[0])
        and tokens.dim() > 1
        and all(tensor.dtype == torch.float32 for tensor in (tokens, weight, bias) if tensor is not None)
        and runs_here(tokens, weight, bias)
        and torch.backends.mkldnn.enabled
    )


def _product(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return onednn_product(_dense(tokens), _dense(weight), bias)


def _dense(tensor: Tensor) -> Tensor:
    """What has gaps in memory oneDNN multiplies some hundred times slower."""
    transposed = tensor.dim() == 2 and tensor.t().is_contiguous()
    return tensor if transposed or tensor.is_contiguous() else tensor.contiguous()


class _Linear(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(form, tokens, weight, bias):
        return _multiply(form, tokens, weight, bias)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[1:3])

    @staticmethod
    def backward(ctx, grad):
        tokens, weight = ctx.saved_tensors
        for_tokens = for_weight = for_bias = None
        rows = grad.flatten(0, -2)
        if ctx.needs_input_grad[1]:
            for_tokens = _multiply('tokens', grad, weight.t())
        if ctx.needs_input_grad[2]:
            for_weight = _multiply('weight', rows.t(), tokens.flatten(0, -2).t())
        if ctx.needs_input_grad[3]:
            for_bias = rows.sum(0)
        return None, for_tokens, for_weight, for_bias
