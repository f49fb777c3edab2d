"""Attention with a bias that is made and used slice by slice, for processors whose speed is that of their cache.

The bias of a pair of tokens is the sum of a term of the key's row and one of its column. Neither it nor the logits
exist as a whole, forward or backward: the backward pass makes each slice once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmvitdense.ops import linear

PAIRS_PER_THREAD = 2**19
"""Pairs of tokens in a slice, for each thread: 2 MB of logits in float32."""
MOST_QUERIES = 1024
"""Queries of one head in a slice; torch's kernel takes them in blocks of 256 from about 800 on, smaller ones below."""

Slices = tuple[slice, slice, slice]


def sliced_attention(query: Tensor, key: Tensor, value: Tensor, logits: tuple[Tensor, Tensor], prefix: int) -> Tensor:
    """Scaled dot-product attention with terms of rows and columns added to the logits.

    Args:
        query, key, value: B x heads x N x d, the first `prefix` tokens without position, the others of an h x w map.
        logits: Terms for each patch as query: of the key's row, B x heads x h*w x h, and column, B x heads x h*w x w.
        prefix: N - h*w.

    Returns:
        B x heads x N x d. It can be differentiated once.
    """
    rows, columns = (F.pad(terms, (0, 0, prefix, 0)) for terms in logits) if prefix else logits
    tensors = query, key, value, rows, columns
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        # Whoever records operators would record each slice.
        bias = _bias(rows, columns, prefix)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return _SlicedAttention.apply(*tensors, prefix)
    return _forward(*tensors, prefix)


def _slices(shape: torch.Size) -> Iterator[Slices]:
    """Ranges of images, heads and queries."""
    images, heads, count, _ = shape
    budget = PAIRS_PER_THREAD * torch.get_num_threads()
    queries = min(count, MOST_QUERIES)
    some_heads = min(heads, max(budget // (queries * count), 1))
    some_images = max(budget // (some_heads * queries * count), 1) if some_heads == heads else 1
    return product(_ranges(images, some_images), _ranges(heads, some_heads), _ranges(count, queries))


def _ranges(total: int, step: int) -> list[slice]:
    return [slice(start, start + step) for start in range(0, total, step)]


def _bias(rows: Tensor, columns: Tensor, prefix: int) -> Tensor:
    pairs = (rows[..., :, None] + columns[..., None, :]).flatten(-2)
    return F.pad(pairs, (prefix, 0)) if prefix else pairs


def _forward(query: Tensor, key: Tensor, value: Tensor, rows: Tensor, columns: Tensor, prefix: int) -> Tensor:
    images, heads, count, dims = query.shape
    # The heads of a token lie side by side, as the projection that follows wants them.
    out = value.new_empty(images, count, heads, dims).transpose(1, 2)
    for part in _slices(query.shape):
        maps = part[:2]
        bias = _bias(rows[part], columns[part], prefix)
        out[part] = F.scaled_dot_product_attention(query[part], key[maps], value[maps], attn_mask=bias)
    return out


def _times(left: Tensor, right: Tensor) -> Tensor:
    """`left` times the transpose of `right`, by the faster library where both are matrices."""
    if left.shape[:2] == (1, 1):
        return linear(left, right[0, 0])
    return left @ right.transpose(-2, -1)


def _add(total: Tensor, part: Slices, summand: Tensor) -> None:
    """Add to the sum over slices of queries, which the first of them begins."""
    images, heads, queries = part
    if queries.start:
        total[images, heads] += summand
    else:
        total[images, heads] = summand


class _SlicedAttention(torch.autograd.Function):
    @staticmethod
    def forward(query, key, value, rows, columns, prefix):
        return _forward(query, key, value, rows, columns, prefix)

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, ctx.prefix = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        query, key, value, rows, columns = ctx.saved_tensors
        query, key, value, grad = (tensor.contiguous() for tensor in (query, key, value, grad))
        for_query, for_key, for_value, for_rows, for_columns = map(torch.empty_like, (query, key, value, rows, columns))
        scale = query.shape[-1] ** -0.5
        for part in _slices(query.shape):
            maps = part[:2]
            queries, outputs = query[part] * scale, grad[part]
            logits = _times(queries, key[maps]) + _bias(rows[part], columns[part], ctx.prefix)
            weights = logits.softmax(-1)
            _add(for_value, part, weights.transpose(-2, -1) @ outputs)
            for_weights = _times(outputs, value[maps])
            for_logits = torch._softmax_backward_data(for_weights, weights, -1, weights.dtype)
            for_query[part] = _times(for_logits, key[maps].transpose(-2, -1)) * scale
            _add(for_key, part, for_logits.transpose(-2, -1) @ queries)
            pairs = for_logits[..., ctx.prefix :].unflatten(-1, (rows.shape[-1], columns.shape[-1]))
            for_rows[part], for_columns[part] = pairs.sum(-1), pairs.sum(-2)
        return for_query, for_key, for_value, for_rows, for_columns, None
