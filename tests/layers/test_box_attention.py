"""Attention of boxes to a map: the formula one pair at a time, slices, padding, autocast."""

import pytest
import torch

from mmvitdense.layers import BoxAttention, box_attention
from tests.fidelity.agreement import redraw

GRID, STRIDE, QUERIES = (3, 5), 8, 6


@pytest.fixture
def layer():
    return redraw(BoxAttention(16, 2, hidden_dims=8), std=0.1)


@pytest.fixture
def given():
    torch.manual_seed(0)
    corners = torch.rand(2, QUERIES, 2) * 20
    boxes = torch.cat([corners, corners + 4 + torch.rand(2, QUERIES, 2) * 16], dim=-1)
    tokens = [torch.randn(2, number, 16) for number in (QUERIES, 15, 15)]
    padding = torch.zeros(2, 3, 5, dtype=torch.bool)
    padding[1, :, 4], padding[1, 2:] = True, True
    return tokens[0], boxes, tokens[1], tokens[2], GRID, STRIDE, padding.flatten(1)


def slowly(layer, query, boxes, key, value, grid, stride, padding):
    """Each query, head and token by itself."""
    found = torch.zeros_like(query)
    for image in range(len(query)):
        queries, keys, values = (
            part(of[image]).unflatten(-1, (2, 8)) for part, of in ((layer.q, query), (layer.k, key), (layer.v, value))
        )
        for index, (left, upper, right, lower) in enumerate(boxes[image]):
            for head in range(2):
                logits = []
                for token in range(grid[0] * grid[1]):
                    y, x = ((place + 0.5) * stride for place in divmod(token, grid[1]))
                    of_x = layer.bias_x(torch.stack([left - x, right - x]))[head]
                    of_y = layer.bias_y(torch.stack([upper - y, lower - y]))[head]
                    product = queries[index, head] @ keys[token, head] / 8**0.5
                    logits.append(product + of_x + of_y - 100 * padding[image, token].float())
                found[image, index, 8 * head : 8 * head + 8] = torch.stack(logits).softmax(0) @ values[:, head]
    return layer.proj(found)


def with_sizes_kept(layer, inputs):
    """The output, and how many numbers each tensor has that is kept for the backward pass."""
    sizes = []

    def keep(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        return layer(*inputs), sizes


def test_one_pair_at_a_time(layer, given):
    with torch.no_grad():
        torch.testing.assert_close(layer(*given), slowly(layer, *given), rtol=1e-4, atol=1e-5)


def test_slices_give_the_same_from_less_memory(layer, given, monkeypatch):
    """Outputs and gradients, the last slice shorter; nothing of the inside is kept for the backward pass."""
    results, kept = [], []
    for elements in (box_attention.ELEMENTS, 4 * layer._elements(2, GRID)):
        monkeypatch.setattr(box_attention, 'ELEMENTS', elements)
        layer.zero_grad()
        inputs = [given[0].clone().requires_grad_(), *given[1:]]
        output, sizes = with_sizes_kept(layer, inputs)
        output.square().sum().backward()
        results.append([output, inputs[0].grad, *(p.grad for p in layer.parameters())])
        kept.append(max(sizes))
    assert kept[0] >= 2 * QUERIES * 8 * 5
    assert kept[1] <= 2 * 15 * 16, 'tokens and no pairs'
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_distances_under_autocast(layer, dtype):
    """A box 3000 pixels away, one pixel more or less: 16 bits would not see it."""
    boxes = torch.tensor([[[3000.0, 0, 3010, 8], [3001.0, 0, 3011, 8]]])
    (_, expected), expected_type = layer.bias(boxes, GRID, STRIDE), torch.float32
    with torch.autocast('cpu', dtype):
        _, columns = layer.bias(boxes, GRID, STRIDE)
    assert columns.dtype == expected_type
    assert torch.equal(columns, expected)
    assert (columns[0, :, 0] != columns[0, :, 1]).all()


def test_heads_that_do_not_fit():
    with pytest.raises(ValueError, match='got embed_dims=16 and num_heads=3; expected a multiple of the heads'):
        BoxAttention(16, 3)
