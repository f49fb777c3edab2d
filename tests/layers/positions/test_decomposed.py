"""Tables of relative positions, and which implementation is taken. The function itself: tests/fidelity."""

import numpy as np
import pytest
import torch

from mmvitdense.layers import Attention, DecomposedTables, attention_with_relative_position
from mmvitdense.layers.positions import decomposed
from mmvitdense.layers.positions.decomposed import IMPLEMENTATIONS, axis_table, choose_implementation


def test_axis_table_is_indexed_by_query_minus_key():
    table = torch.randn(9, 4)
    spread = axis_table(table, 5)
    assert spread.shape == (5, 5, 4)
    for query in range(5):
        for key in range(5):
            assert torch.equal(spread[query, key], table[query - key + 4])


@pytest.mark.parametrize(('rows', 'length'), [(5, 7), (27, 4), (9, 1), (1, 3), (127, 40)])
def test_axis_table_is_resized_linearly(rows, length):
    table = torch.randn(rows, 3, dtype=torch.float64)
    wanted = 2 * length - 1
    # np.interp holds the outermost values, as linear interpolation without aligned corners does.
    positions = (np.arange(wanted) + 0.5) * rows / wanted - 0.5
    resized = np.stack([np.interp(positions, np.arange(rows), column) for column in table.numpy().T], axis=1)
    spread = axis_table(table, length).numpy()
    for query in range(length):
        np.testing.assert_allclose(spread[query], resized[query - np.arange(length) + length - 1], atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_axis_table_is_resized_in_float32(dtype):
    table = torch.randn(9, 3).to(dtype)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(axis_table(table, 4), axis_table(table.float(), 4))
    assert axis_table(table, 5).dtype == dtype


def test_16_bit_storage_stays_close():
    """bfloat16 keeps 8 bits, so about 1/256 of the size of the values."""
    tensors = [torch.randn(2, 2, 20, 8) for _ in range(3)] + [torch.randn(7, 8), torch.randn(9, 8)]
    expected = attention_with_relative_position(*tensors, (4, 5), 'eager')
    for implementation in IMPLEMENTATIONS:
        half = attention_with_relative_position(*[t.bfloat16() for t in tensors], (4, 5), implementation)
        assert half.dtype == torch.bfloat16
        assert (half.float() - expected).abs().max() < 0.06


def test_no_map_of_all_pairs_is_kept_for_the_backward_pass():
    """'eager' shows that the measurement sees it."""
    grid, heads = (12, 12), 2
    pairs = heads * (grid[0] * grid[1]) ** 2

    def largest_saved(implementation):
        tensors = [torch.randn(1, heads, 144, 8, requires_grad=True) for _ in range(3)]
        tables = [torch.randn(23, 8, requires_grad=True) for _ in range(2)]
        sizes = []

        def pack(tensor):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            attention_with_relative_position(*tensors, *tables, grid, implementation)
        return max(sizes)

    assert largest_saved('augmented') < pairs / 4
    assert largest_saved('sliced') < pairs / 4
    assert largest_saved('eager') >= pairs


@pytest.mark.parametrize('choice', ['sliced', 'augmented', pytest.param(None, marks=pytest.mark.cuda)])
def test_a_block_keeps_no_map_of_all_pairs(choice, monkeypatch):
    """On the CPU with the implementation of either device, and on a GPU."""
    device = 'cpu' if choice else 'cuda'
    if choice:
        monkeypatch.setattr(decomposed, 'choose_implementation', lambda query: choice)
    block = Attention(16, 2, tables=DecomposedTables((12, 12))).to(device)
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        block(torch.randn(1, 144, 16, device=device), (12, 12))
    assert max(sizes) < 144**2


@pytest.mark.parametrize(
    ('tokens', 'dtype', 'inference', 'training'),
    [
        (196, torch.float32, 'sliced', 'sliced'),
        (4096, torch.float32, 'sliced', 'sliced'),
        (196, torch.bfloat16, 'eager', 'eager'),
        (4096, torch.float16, 'sliced', 'eager'),
    ],
)
def test_choice_on_a_cpu(tokens, dtype, inference, training):
    query = torch.empty(1, 1, tokens, 8, dtype=dtype)
    assert choose_implementation(query) == inference
    query.requires_grad_()
    assert choose_implementation(query) == training
    with torch.no_grad():
        assert choose_implementation(query) == inference


def test_choice_elsewhere():
    assert choose_implementation(torch.empty(1, 1, 4096, 8, device='meta')) == 'eager', 'nothing is computed there'


def test_an_unknown_implementation_is_named():
    tensors = [torch.randn(1, 1, 4, 8)] * 3 + [torch.randn(3, 8)] * 2
    with pytest.raises(ValueError, match=r"implementation must be .*augmented.* got 'triton'"):
        attention_with_relative_position(*tensors, (2, 2), 'triton')


@pytest.mark.cuda
@pytest.mark.parametrize('implementation', IMPLEMENTATIONS)
def test_cuda_agrees_with_cpu(implementation):
    tensors = [torch.randn(2, 2, 22, 8) for _ in range(3)] + [torch.randn(5, 8), torch.randn(9, 8)]
    leaves = [[t.detach().clone().to(device).requires_grad_() for t in tensors] for device in ('cpu', 'cuda')]
    cotangent = torch.randn(2, 2, 22, 8)
    results = []
    for group in leaves:
        out = attention_with_relative_position(*group, (4, 5), implementation)
        out.backward(cotangent.to(out.device))
        results.append([out.detach().cpu(), *[t.grad.cpu() for t in group]])
    for actual, wanted in zip(*results):
        torch.testing.assert_close(actual, wanted, rtol=1e-3, atol=1e-3)
