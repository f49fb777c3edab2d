"""Linear layers: oneDNN's products are those of the definition, and torch's way is kept where ours has no business."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.flop_counter import FlopCounterMode

from mmvitdense.models import PlainViT, ViTAdapter, ViTCoMer
from mmvitdense.ops import apply_linear, linear, linear_layer, product_choice


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

    monkeypatch.setattr(linear_layer, 'onednn_forms', lambda: frozenset(product_choice.FORMS))
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
    layer, tokens = nn.Linear(24, 40).requires_grad_(False), torch.randn(18, 24)
    expected = F.linear(tokens, layer.weight, layer.bias)
    with torch.inference_mode():
        torch.testing.assert_close(apply_linear(layer, tokens), expected)
    leaf = tokens.clone().requires_grad_()
    apply_linear(layer, leaf).sum().backward()
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
    layer = nn.Linear(24, 40)
    apply_linear(layer, torch.randn(24))
    apply_linear(layer, torch.randn(1, 24))
    apply_linear(layer.double(), torch.randn(18, 24).double())
    layer.float()
    with torch.autocast('cpu', torch.bfloat16):
        assert apply_linear(layer, torch.randn(18, 24)).dtype == torch.bfloat16
    with torch.backends.mkldnn.flags(enabled=False):
        apply_linear(layer, torch.randn(18, 24))
    apply_linear(layer.to('meta'), torch.randn(18, 24, device='meta'))
    assert not products


class Calls(nn.Module):
    """A layer called as our models call theirs."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, tokens):
        return apply_linear(self.layer, tokens)


def test_tracers_see_the_operators_of_torch(products):
    model, tokens = Calls(nn.Linear(24, 40)), torch.randn(18, 24)
    expected = F.linear(tokens, model.layer.weight, model.layer.bias)
    with FlopCounterMode(display=False) as counter:
        model(tokens)
    assert counter.get_total_flops() == 2 * 18 * 24 * 40
    assert 'mkldnn' not in str(torch.jit.trace(model, tokens, check_trace=False).inlined_graph)
    torch.testing.assert_close(torch.compile(model, backend='aot_eager', fullgraph=True)(tokens), expected)
    layer = fx.symbolic_trace(model)
    assert [node.op for node in layer.graph.nodes] == ['placeholder', 'call_module', 'output']
    assert not products


def _scaled(module, args, output):
    return 2 * output


@pytest.mark.parametrize(
    'change',
    [
        lambda layer: layer.register_forward_hook(_scaled),
        lambda layer: layer.register_forward_pre_hook(lambda module, args: (2 * args[0],)),
        lambda layer: layer.register_full_backward_hook(lambda module, given, output: (2 * given[0],)),
        lambda layer: setattr(layer, 'forward', lambda tokens: 2 * nn.Linear.forward(layer, tokens)),
        lambda layer: parametrize.register_parametrization(layer, 'weight', nn.Softplus()),
        lambda layer: prune.l1_unstructured(layer, 'weight', 0.5),
    ],
)
def test_whatever_is_done_to_a_layer_is_done_by_calling_it(products, change):
    """Hooks, another forward, weights that are computed anew."""
    layer, tokens = nn.Linear(24, 40), torch.randn(18, 24)
    apply_linear(layer, tokens)
    assert len(products) == 1
    change(layer)
    results = []
    for call in (layer, lambda leaf: apply_linear(layer, leaf)):
        leaf = tokens.clone().requires_grad_()
        out = call(leaf)
        results.append((out, *torch.autograd.grad(out.square().sum(), leaf)))
    torch.testing.assert_close(*results)
    assert len(products) == 1


class LowRank(nn.Module):
    """A layer with an addition of low rank beside it, as adapters of other libraries wrap it."""

    def __init__(self, base):
        super().__init__()
        self.base, self.down = base, nn.Linear(base.in_features, 2, bias=False)
        self.up = nn.Linear(2, base.out_features, bias=False)

    def forward(self, tokens):
        return self.base(tokens) + self.up(self.down(tokens))

    def merged(self):
        layer = copy.deepcopy(self.base)
        layer.weight.data += self.up.weight @ self.down.weight
        return layer


VIT = {'embed_dims': 32, 'num_layers': 4, 'num_heads': 2, 'img_size': 64, 'window_size': 3, 'global_blocks': [1, 3]}
MODELS = {
    'ViT': lambda vit: PlainViT(**vit),
    'ViT-CoMer': lambda vit: ViTCoMer(vit, deform_num_heads=2, conv_inplane=8),
    'ViT-Adapter': lambda vit: ViTAdapter(vit, deform_num_heads=2, conv_inplane=8),
}


@pytest.fixture(params=[(name, qkv_bias) for name in MODELS for qkv_bias in (True, 'qv')], ids=str)
def model(request):
    """Windows of it are padded, where the bias of the projection is the value of the padding."""
    model = MODELS[request.param[0]]({**VIT, 'qkv_bias': request.param[1]}).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return model


def layers(model):
    return {name: layer for name, layer in model.named_modules() if type(layer) is nn.Linear}


def counted(model, names):
    """How often each layer is called."""
    calls = dict.fromkeys(names, 0)
    for name in names:
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    return calls


def maps(model):
    with torch.no_grad():
        return model(torch.randn(1, 3, 64, 80, generator=torch.Generator().manual_seed(1)))


def agree(found, expected, tolerance):
    return all((a - b).std() < tolerance * b.std() for a, b in zip(found, expected))


def test_quantisation_replaces_the_layers_and_they_are_used(model):
    """torch's own quantisation looks for the exact type nn.Linear."""
    names, expected = list(layers(model)), maps(model)
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, torch.qint8)
    assert {type(quantised.get_submodule(name)) for name in names} == {torch.ao.nn.quantized.dynamic.Linear}
    calls = counted(quantised, names)
    out = maps(quantised)
    assert set(calls.values()) == {1}
    assert agree(out, expected, 0.03)
    assert not agree(out, expected, 1e-5)


def test_wrapped_layers(model):
    """Low-rank additions beside all layers are what their sum is."""
    merged = copy.deepcopy(model)
    for name, layer in layers(model).items():
        wrapped = LowRank(layer)
        nn.init.normal_(wrapped.up.weight, std=0.2)
        model.set_submodule(name, wrapped)
        with torch.no_grad():
            merged.set_submodule(name, wrapped.merged())
    assert agree(maps(model), maps(merged), 1e-4)


@pytest.mark.parametrize('kind', ['weights that are computed', 'outputs that a hook changes', 'hooks that look'])
def test_layers_that_were_changed(model, kind):
    changed = copy.deepcopy(model)
    for layer in layers(model).values():
        if kind == 'weights that are computed':
            weight_norm(layer)
        elif kind == 'outputs that a hook changes':
            layer.register_forward_hook(lambda layer, tokens, out: 2 * out)
    for layer in layers(changed).values():
        if kind == 'outputs that a hook changes':
            layer.weight.data *= 2
            layer.bias.data *= 2
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    calls = counted(model, names)
    assert agree(maps(model), maps(changed), 1e-4)
    assert set(calls.values()) == {1}


def test_only_dense_matrices_reach_onednn():
    """With gaps between its rows a matrix takes seconds instead of milliseconds."""
    whole = torch.randn(6, 8)
    for dense in (whole, whole.t(), whole[2:4]):
        assert linear_layer._dense(dense) is dense
    for sparse in (whole[:, :4], whole[:, ::2], whole[:, :4].t(), whole[:1].expand(6, 8)):
        copy = linear_layer._dense(sparse)
        assert copy.is_contiguous()
        assert torch.equal(copy, sparse)
