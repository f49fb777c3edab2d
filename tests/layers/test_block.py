"""The transformer block: residual branches, drop path and LayerScale; the feed-forward networks."""

import pytest
import torch
from torch import nn

from mmvitdense.layers import Attention, LayerScale, Mlp, SwiGLU, TransformerBlock
from tests.fidelity.agreement import redraw


def block(**options):
    return redraw(TransformerBlock(Attention(12, 2), Mlp(12, 20), 12, **options))


@pytest.mark.parametrize(('branch', 'silent'), [('attn', 'mlp.fc2'), ('mlp', 'attn.proj')])
def test_drop_path_skips_whole_samples_and_scales_the_rest(branch, silent):
    model = block(drop_path_rate=0.75)
    for parameter in model.get_submodule(silent).parameters():
        nn.init.zeros_(parameter)
    tokens = torch.randn(400, 6, 12)
    alone = model.eval()(tokens, (2, 3)) - tokens
    added = model.train()(tokens, (2, 3)) - tokens
    kept = added.flatten(1).any(dim=1)
    assert 60 <= kept.sum() <= 140, f'{kept.sum()} of 400 samples kept {branch} at a rate of 0.75'
    torch.testing.assert_close(added[kept], 4 * alone[kept], rtol=1e-4, atol=1e-5)


def test_layer_scale_multiplies_each_branch():
    model = block(layer_scale_init=0.1)
    plain = TransformerBlock(model.attn, Mlp(12, 20), 12)
    plain.load_state_dict(model.state_dict(), strict=False)
    tokens = torch.randn(2, 6, 12)
    middle = tokens + model.ls1.gamma * (plain.attn(plain.norm1(tokens), (2, 3)))
    expected = middle + model.ls2.gamma * plain.mlp(plain.norm2(middle))
    torch.testing.assert_close(model(tokens, (2, 3)), expected)


def test_layer_scale_folds_into_the_projections():
    """The gains can be multiplied into the weights before them, which converters rely on."""
    model = block(layer_scale_init=1.0).double()
    folded = TransformerBlock(Attention(12, 2), Mlp(12, 20), 12).double()
    weights = {name: tensor for name, tensor in model.state_dict().items() if '.gamma' not in name}
    for layer, gain in (('attn.proj', model.ls1.gamma), ('mlp.fc2', model.ls2.gamma)):
        weights[f'{layer}.weight'] = weights[f'{layer}.weight'] * gain[:, None]
        weights[f'{layer}.bias'] = weights[f'{layer}.bias'] * gain
    folded.load_state_dict(weights)
    tokens = torch.randn(2, 6, 12, dtype=torch.float64)
    torch.testing.assert_close(model(tokens, (2, 3)), folded(tokens, (2, 3)), rtol=1e-12, atol=1e-12)


def test_layer_scale_starts_at_its_value():
    assert LayerScale(3, 0.25).gamma.tolist() == [0.25] * 3
    assert isinstance(block().ls1, nn.Identity)


@pytest.mark.parametrize('eps', [1e-6, 1e-2])
def test_epsilon_of_both_norms(eps):
    model = block(norm_eps=eps)
    assert (model.norm1.eps, model.norm2.eps) == (eps, eps)


def test_mlp_uses_the_exact_gelu():
    mlp = redraw(Mlp(6, 10)).double()
    tokens = torch.randn(2, 3, 6, dtype=torch.float64)
    hidden = tokens @ mlp.fc1.weight.T + mlp.fc1.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    torch.testing.assert_close(mlp(tokens), hidden @ mlp.fc2.weight.T + mlp.fc2.bias, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ('act', 'formula'),
    [
        ('gelu_tanh', lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))),
        ('quick_gelu', lambda x: x / (1 + torch.exp(-1.702 * x))),
    ],
)
def test_other_activations_of_the_mlp(act, formula):
    mlp = redraw(Mlp(6, 10, act=act)).double()
    tokens = torch.randn(2, 3, 6, dtype=torch.float64)
    hidden = formula(tokens @ mlp.fc1.weight.T + mlp.fc1.bias)
    torch.testing.assert_close(mlp(tokens), hidden @ mlp.fc2.weight.T + mlp.fc2.bias, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('norm_eps', [None, 1e-2])
def test_swiglu_has_the_gate_first(norm_eps):
    ffn = redraw(SwiGLU(6, 10, norm_eps=norm_eps)).double()
    tokens = torch.randn(2, 3, 6, dtype=torch.float64)
    gate = tokens @ ffn.w12.weight[:10].T + ffn.w12.bias[:10]
    hidden = gate / (1 + torch.exp(-gate)) * (tokens @ ffn.w12.weight[10:].T + ffn.w12.bias[10:])
    if norm_eps:
        centred = hidden - hidden.mean(dim=-1, keepdim=True)
        hidden = centred / (centred.square().mean(dim=-1, keepdim=True) + norm_eps).sqrt()
        hidden = hidden * ffn.norm.weight + ffn.norm.bias
    torch.testing.assert_close(ffn(tokens), hidden @ ffn.w3.weight.T + ffn.w3.bias, rtol=1e-10, atol=1e-10)


def test_norm_of_the_mlp_follows_the_activation():
    mlp = redraw(Mlp(6, 10, norm_eps=1e-3))
    tokens = torch.randn(2, 3, 6)
    hidden = mlp.norm(nn.functional.gelu(mlp.fc1(tokens)))
    torch.testing.assert_close(mlp(tokens), mlp.fc2(hidden))
    assert mlp.norm.eps == 1e-3


def test_an_unknown_activation_is_named():
    with pytest.raises(ValueError, match="act must be one of .*quick_gelu.*got 'relu'"):
        Mlp(6, 10, act='relu')
