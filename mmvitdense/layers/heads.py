"""Query, key and value of each head out of the projection of the tokens, of all of them or window by window."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from mmvitdense.ops.recording import is_trained, runs_here

from .window import pad_to_windows, window_partition

Heads = tuple[Tensor, Tensor, Tensor]


def split_heads(qkv: Tensor, num_heads: int) -> Heads:
    """Cut B x N x 3*C into query, key and value, B x heads x N x C/heads."""
    if is_trained(qkv) and runs_here(qkv):
        return _Split.apply(qkv, num_heads)
    return _views(qkv, num_heads)


def split_heads_in_windows(qkv: Tensor, num_heads: int, window_size: int, fill: Tensor | None = None) -> Heads:
    """Cut a map into windows, and those into query, key and value.

    Args:
        qkv: B x H x W x 3*C.
        num_heads: Heads.
        window_size: Side of a window in tokens.
        fill: 3*C values for tokens beyond the edge; zeros when None.

    Returns:
        (B*windows) x heads x window_size**2 x C/heads each, window after window, row by row.
    """
    if runs_here(qkv, fill):
        # Padding, windows and heads in one pass instead of one for each, forward and backward.
        if is_trained(qkv, fill):
            return _SplitInWindows.apply(qkv, fill, num_heads, window_size)
        return _cut(qkv, fill, num_heads, window_size)
    return _views(window_partition(pad_to_windows(qkv, window_size, fill), window_size), num_heads)


def _views(qkv: Tensor, num_heads: int) -> Heads:
    return qkv.unflatten(-1, (3, num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


class _Split(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(qkv: Tensor, num_heads: int) -> Heads:
        return _views(qkv, num_heads)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple, output: Heads) -> None:
        pass

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple:
        # Laid out as the projection takes it.
        return torch.stack([grad.transpose(1, 2) for grad in grads], dim=2).flatten(2), None


class _SplitInWindows(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(qkv: Tensor, fill: Tensor | None, num_heads: int, window_size: int) -> Heads:
        return _cut(qkv, fill, num_heads, window_size)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple, output: Heads) -> None:
        qkv, _, _, ctx.window_size = inputs
        ctx.shape = qkv.shape

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple:
        batch, height, width, _ = ctx.shape
        size, heads = ctx.window_size, grads[0].shape[1]
        rows, columns = _parts(height, size), _parts(width, size)
        counts = batch, -(-height // size), -(-width // size)
        # B x rows x columns x heads x size x size x d.
        grads = [grad.unflatten(2, (size, size)).unflatten(0, counts) for grad in grads]
        for_qkv = for_fill = None
        if ctx.needs_input_grad[0]:
            for_qkv = grads[0].new_empty(batch, height, width, 3, heads, grads[0].shape[-1])
            for index, grad in enumerate(grads):
                for row in rows:
                    for column in columns:
                        _tokens(for_qkv[:, :, :, index], row, column).copy_(_of_windows(grad, row, column))
            for_qkv = for_qkv.flatten(3)
        if ctx.needs_input_grad[1]:
            for_fill = torch.cat([_sum_beyond(grad, height % size, width % size) for grad in grads])
        return for_qkv, for_fill, None, None


def _cut(qkv: Tensor, fill: Tensor | None, num_heads: int, size: int) -> Heads:
    batch, height, width, channels = qkv.shape
    dims = channels // 3 // num_heads
    counts = batch, -(-height // size), -(-width // size)
    source, found = qkv.unflatten(-1, (3, num_heads, dims)), []
    for index in range(3):
        out = qkv.new_empty(*counts, num_heads, size, size, dims)
        beyond = 0 if fill is None else fill.view(3, num_heads, 1, 1, dims)[index]
        if width % size:
            out[:, :, -1, :, :, width % size :] = beyond
        if height % size:
            out[:, -1, :, :, height % size :] = beyond
        for row in _parts(height, size):
            for column in _parts(width, size):
                _of_windows(out, row, column).copy_(_tokens(source[:, :, :, index], row, column))
        found.append(out.flatten(4, 5).flatten(0, 2))
    return tuple(found)


class _Part(NamedTuple):
    """Windows along a side that have the same number of tokens: whole ones, or the one over the edge."""

    windows: slice
    tokens: slice
    length: int


def _parts(length: int, size: int) -> list[_Part]:
    whole = length // size
    edge = whole * size
    inside = _Part(slice(0, whole), slice(0, edge), size)
    over = _Part(slice(whole, whole + 1), slice(edge, length), length - edge)
    return [part for part in (inside, over) if part.tokens.start < part.tokens.stop]


def _tokens(maps: Tensor, row: _Part, column: _Part) -> Tensor:
    """Those of some windows in B x H x W x heads x d, a view: B x rows x columns x heads x height x width x d."""
    part = maps[:, row.tokens, column.tokens].unflatten(2, (-1, column.length)).unflatten(1, (-1, row.length))
    return part.permute(0, 1, 3, 5, 2, 4, 6)


def _of_windows(windows: Tensor, row: _Part, column: _Part) -> Tensor:
    """The same, a view of B x rows x columns x heads x size x size x d."""
    return windows[:, row.windows, column.windows, :, : row.length, : column.length]


def _sum_beyond(windows: Tensor, height: int, width: int) -> Tensor:
    """The sum over the tokens beyond the edge, where the last windows have so many rows and columns, 0 for all: C."""
    total = windows.new_zeros(windows.shape[3], windows.shape[-1])
    if width:
        total = total + windows[:, :, -1, :, :, width:].sum((0, 1, 3, 4))
    if height:
        beyond = windows[:, -1, :, :, height:]
        total = total + beyond.sum((0, 1, 3, 4))
        if width:
            total = total - beyond[:, -1, :, :, width:].sum((0, 2, 3))
    return total.flatten()
