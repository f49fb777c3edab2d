"""Linear layers: oneDNN's products are those of the definition, and torch's way is kept where ours has no business."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from mmvitdense.ops import Linear, linear, linear_layer


@pytest.fixture
def products(monkeypatch):
    """oneDNN on every CPU; the list has the shapes it multiplied."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, '_linear_pointwise'):
        pytest.skip('this torch has no oneDNN for linear layers')
    calls = []
    product = linear_layer._product

    def counted(tokens, weight, bias):
        calls.append((tuple(tokens.shape), tuple(weight.shape)))
        return product(tokens, weight, bias)

    monkeypatch.setattr(linear_layer, '_onednn_is_faster', lambda: True)
    monkeypatch.setattr(linear_layer, 'SMALLEST_PRODUCT', 1000)
    monkeypatch.setattr(linear_layer, '_product', counted)
    return calls


def _layouts():
    yield torch.randn(2, 9, 24)
    yield torch.randn(18, 24)
    yield torch.randn(2, 24, 9).transpose(1, 2)
    yield torch.randn(2, 9, 48)[..., ::2]
    yield torch.randn(1, 24).expand(2, 9, 24)


@pytest.mark.parametrize('with_bias', [True, False])
def test_outputs_and_gradients_are_those_of_the_definition(products, with_bias):
    for tokens in _layouts():
        weight, bias = torch.randn(40, 24), torch.randn(40) if with_bias else None
        leaves = [t.clone().requires_grad_() for t in (tokens, weight, bias) if t is not None]
        out = linear(*leaves)
        cotangent = torch.randn_like(out)
        out.backward(cotangent)
        wide = [t.detach().double() for t in leaves]
        expected = wide[0] @ wide[1].T + (wide[2] if with_bias else 0)
        rows = cotangent.double().reshape(-1, 40)
        gradients = [cotangent.double() @ wide[1], rows.T @ wide[0].reshape(-1, 24), rows.sum(0)]
        torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
        for leaf, gradient in zip(leaves, gradients):
            torch.testing.assert_close(leaf.grad.double(), gradient, rtol=1e-5, atol=1e-5)
    assert len(products) == 15  # a product forward, two backward, in each layout


def test_frozen_parameters_and_inference(products):
    layer, tokens = Linear(24, 40).requires_grad_(False), torch.randn(18, 24)
    expected = F.linear(tokens, layer.weight, layer.bias)
    with torch.inference_mode():
        torch.testing.assert_close(layer(tokens), expected)
    leaf = tokens.clone().requires_grad_()
    layer(leaf).sum().backward()
    torch.testing.assert_close(leaf.grad, layer.weight.sum(0).expand(18, 24))
    assert layer.weight.grad is None
    assert len(products) == 3


def test_second_derivatives(products):
    tokens, weight = torch.randn(18, 24, requires_grad=True), torch.randn(40, 24, requires_grad=True)
    (first,) = torch.autograd.grad(linear(tokens, weight).square().sum(), tokens, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), weight)
    wide = weight.detach().double().requires_grad_()
    total = (2 * tokens.detach().double() @ wide.T @ wide).sum()
    torch.testing.assert_close(second.double(), torch.autograd.grad(total, wide)[0], rtol=1e-4, atol=1e-3)


def test_torch_keeps_what_it_does_better(products):
    layer = Linear(24, 40)
    layer(torch.randn(24))
    layer(torch.randn(1, 24))
    layer.double()(torch.randn(18, 24).double())
    layer.float()
    with torch.autocast('cpu', torch.bfloat16):
        assert layer(torch.randn(18, 24)).dtype == torch.bfloat16
    with torch.backends.mkldnn.flags(enabled=False):
        layer(torch.randn(18, 24))
    layer.to('meta')(torch.randn(18, 24, device='meta'))
    assert not products


def test_tracers_see_the_operators_of_torch(products):
    layer, tokens = Linear(24, 40), torch.randn(18, 24)
    with FlopCounterMode(display=False) as counter:
        layer(tokens)
    assert counter.get_total_flops() == 2 * 18 * 24 * 40
    assert 'mkldnn' not in str(torch.jit.trace(layer, tokens, check_trace=False).inlined_graph)
    compiled = torch.compile(layer, backend='aot_eager', fullgraph=True)
    torch.testing.assert_close(compiled(tokens), F.linear(tokens, layer.weight, layer.bias))
    assert not products


@pytest.mark.parametrize(('choice', 'expected'), [('torch', False), ('onednn', True)])
def test_the_environment_decides(monkeypatch, choice, expected):
    monkeypatch.setenv(linear_layer.VARIABLE, choice)
    available = hasattr(torch.ops.mkldnn, '_linear_pointwise') and torch.backends.mkldnn.is_available()
    assert linear_layer._onednn_is_faster.__wrapped__() == (expected and available)


def test_an_unknown_choice_is_named(monkeypatch):
    monkeypatch.setenv(linear_layer.VARIABLE, 'mkl')
    with pytest.raises(ValueError, match=r"MMVITDENSE_LINEAR must be 'auto', 'torch' or 'onednn', got 'mkl'"):
        linear_layer._onednn_is_faster.__wrapped__()


def test_only_dense_matrices_reach_onednn():
    """With gaps between its rows a matrix takes seconds instead of milliseconds."""
    whole = torch.randn(6, 8)
    for dense in (whole, whole.t(), whole[2:4]):
        assert linear_layer._dense(dense) is dense
    for sparse in (whole[:, :4], whole[:, ::2], whole[:, :4].t(), whole[:1].expand(6, 8)):
        copy = linear_layer._dense(sparse)
        assert copy.is_contiguous()
        assert torch.equal(copy, sparse)
