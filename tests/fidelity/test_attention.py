"""Attention against formulas written out: relative positions pair by pair, windows by unfolding."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.layers import Attention, attention_with_relative_position
from mmvitdense.layers.positions.decomposed import IMPLEMENTATIONS
from tests.fidelity.agreement import redraw


def axis_vector(table, offset, length):
    """The vector of one offset (query minus key) on an axis of `length`, from a table made for another length."""
    rows = len(table)
    position = (offset + length - 1 + 0.5) * rows / (2 * length - 1) - 0.5
    position = min(max(position, 0.0), rows - 1.0)
    below = min(int(position), rows - 1)
    above = min(below + 1, rows - 1)
    return table[below] + (position - below) * (table[above] - table[below])


def attention_pair_by_pair(query, key, value, table_h, table_w, grid):
    """ViTDet's attention with the logit of every pair of positions computed alone."""
    dims = query.shape[-1]
    cells = list(itertools.product(range(grid[0]), range(grid[1])))
    prefix = query.shape[-2] - len(cells)
    logits = (query @ key.transpose(-2, -1) / dims**0.5).unbind(-2)
    rows = [list(row.unbind(-1)) for row in logits]
    for i, (y, x) in enumerate(cells):
        for j, (y2, x2) in enumerate(cells):
            vector = axis_vector(table_h, y - y2, grid[0]) + axis_vector(table_w, x - x2, grid[1])
            rows[prefix + i][prefix + j] = rows[prefix + i][prefix + j] + query[..., prefix + i, :] @ vector
    weights = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2).softmax(dim=-1)
    return weights @ value


@pytest.mark.parametrize('implementation', IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ('grid', 'rows', 'prefix'),
    [((3, 5), (5, 9), 0), ((3, 3), (5, 5), 2), ((4, 3), (5, 9), 1), ((1, 4), (1, 3), 0)],
    ids=['table-fits', 'prefix', 'table-resized', 'one-row'],
)
def test_decomposed_relative_positions(implementation, grid, rows, prefix):
    tokens = prefix + grid[0] * grid[1]
    shapes = [(2, 2, tokens, 6)] * 3 + [(rows[0], 6), (rows[1], 6)]
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    ours = attention_with_relative_position(*tensors, grid, implementation)
    expected = attention_pair_by_pair(*tensors, grid)
    # Tables that do not fit are resized in the type they have, so float64 stays exact to its last digits.
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    cotangent = torch.randn_like(expected)
    for actual, wanted in zip(
        torch.autograd.grad(ours, tensors, cotangent), torch.autograd.grad(expected, tensors, cotangent)
    ):
        torch.testing.assert_close(actual, wanted, rtol=1e-9, atol=1e-9)


def unfolded_window_attention(attention, tokens, grid, size):
    """ViT-Adapter's window attention: qkv of the real tokens, zeros at the bottom and right, im2col windows."""
    batch, _, channels = tokens.shape
    maps = attention.qkv(tokens).transpose(1, 2).reshape(batch, 3 * channels, *grid)
    padded = [side + -side % size for side in grid]
    maps = F.pad(maps, (0, padded[1] - grid[1], 0, padded[0] - grid[0]))
    windows = F.unfold(maps, size, stride=size).unflatten(1, (3, attention.num_heads, -1, size * size))
    query, key, value = windows.unbind(1)
    logits = torch.einsum('bhdqw,bhdkw->bhqkw', query, key) / query.shape[2] ** 0.5
    out = torch.einsum('bhqkw,bhdkw->bhdqw', logits.softmax(dim=3), value)
    out = F.fold(out.flatten(1, 3), padded, size, stride=size)[:, :, : grid[0], : grid[1]]
    return attention.proj(out.flatten(2).transpose(1, 2))


@pytest.mark.parametrize('grid', [(6, 8), (7, 4), (3, 2), (9, 9)])
def test_windows_padded_after_the_projection(grid):
    attention = redraw(Attention(24, 3, window_size=4, window_pad='qkv')).double()
    tokens = torch.randn(2, grid[0] * grid[1], 24, dtype=torch.float64, requires_grad=True)
    ours, expected = attention(tokens, grid), unfolded_window_attention(attention, tokens, grid, 4)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    leaves = [tokens, *attention.parameters()]
    cotangent = torch.randn_like(expected)
    for actual, wanted in zip(
        torch.autograd.grad(ours, leaves, cotangent), torch.autograd.grad(expected, leaves, cotangent)
    ):
        torch.testing.assert_close(actual, wanted, rtol=1e-9, atol=1e-9)
