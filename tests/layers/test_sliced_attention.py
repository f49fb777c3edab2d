"""Slices of any size make the whole, forward and backward."""

import pytest
import torch

from mmvitdense.layers import sliced_attention as module
from mmvitdense.layers.sliced_attention import sliced_attention

GRID = (3, 5)


def _whole(query, key, value, rows, columns, prefix):
    """The definition, pair by pair, in float64."""
    out = torch.zeros_like(query)
    for image in range(query.shape[0]):
        for head in range(query.shape[1]):
            logits = query[image, head] @ key[image, head].T / query.shape[-1] ** 0.5
            terms = torch.zeros_like(logits)
            for i in range(GRID[0] * GRID[1]):
                for j in range(GRID[0] * GRID[1]):
                    term = rows[image, head, i, j // GRID[1]] + columns[image, head, i, j % GRID[1]]
                    terms[prefix + i, prefix + j] = term
            out[image, head] = (logits + terms).softmax(-1) @ value[image, head]
    return out


@pytest.mark.parametrize('prefix', [0, 2])
@pytest.mark.parametrize(('pairs', 'queries'), [(1, 4), (1, 1024), (600, 1024), (10**6, 1024)])
def test_the_definition(monkeypatch, pairs, queries, prefix):
    """Slices of 4 queries, of a head, of the heads of an image, and everything at once."""
    monkeypatch.setattr(module, 'PAIRS_PER_THREAD', pairs)
    monkeypatch.setattr(module, 'MOST_QUERIES', queries)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 1)
    count = prefix + GRID[0] * GRID[1]
    tensors = [torch.randn(2, count, 2, 4).transpose(1, 2) for _ in range(3)]
    tensors += [torch.randn(2, 2, count - prefix, side) for side in GRID]
    ours, theirs = ([t.double().clone().requires_grad_() for t in tensors] for _ in range(2))
    got, expected = sliced_attention(*ours[:3], ours[3:], prefix), _whole(*theirs, prefix)
    cotangent = torch.randn_like(expected)
    got.backward(cotangent)
    expected.backward(cotangent)
    torch.testing.assert_close(got, expected)
    for mine, other in zip(ours, theirs):
        torch.testing.assert_close(mine.grad, other.grad)
    with torch.no_grad():
        torch.testing.assert_close(sliced_attention(*ours[:3], ours[3:], prefix), expected)


def test_compiled_and_traced_it_is_one_piece():
    tensors = [torch.randn(1, 2, 15, 4, requires_grad=True) for _ in range(3)]
    terms = tuple(torch.randn(1, 2, 15, side) for side in GRID)
    compiled = torch.compile(sliced_attention, backend='aot_eager', fullgraph=True)
    torch.testing.assert_close(compiled(*tensors, terms, 0), sliced_attention(*tensors, terms, 0))
    traced = torch.jit.trace(lambda *t: sliced_attention(*t, terms, 0), tensors, check_trace=False)
    assert str(traced.inlined_graph).count('aten::scaled_dot_product_attention') == 1
