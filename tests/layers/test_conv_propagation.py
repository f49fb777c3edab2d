"""Convolutional propagation: the identity at first, of the sizes in the paper."""

import pytest
import torch
from torch import nn

from mmvitdense.layers import ConvPropagation, LayerNorm2d, Mlp, TransformerBlock
from mmvitdense.layers.attention import Attention
from tests.fidelity.agreement import redraw

KERNELS = {'bottleneck': [1, 3, 1], 'basic': [3, 3], 'naive': [3]}


@pytest.mark.parametrize('kind', list(KERNELS))
def test_identity_at_the_start(kind):
    block = ConvPropagation(12, kind)
    maps = torch.randn(2, 12, 5, 6)
    assert torch.equal(block(maps), maps)
    block(maps).square().sum().backward()
    last = getattr(block, f'norm{len(KERNELS[kind])}')
    assert last.weight.grad.any()
    assert last.bias.grad.any()


@pytest.mark.parametrize('kind', list(KERNELS))
def test_layers(kind):
    """Convolution and norm, GELU between, nothing after the sum."""
    block = redraw(ConvPropagation(12, kind)).double()
    maps = torch.randn(2, 12, 5, 6, dtype=torch.float64)
    out = maps
    for index, kernel in enumerate(KERNELS[kind], start=1):
        conv, norm = getattr(block, f'conv{index}'), getattr(block, f'norm{index}')
        assert (conv.kernel_size, conv.bias) == ((kernel, kernel), None)
        assert isinstance(norm, LayerNorm2d)
        out = nn.functional.conv2d(out, conv.weight, padding=kernel // 2)
        out = (out - out.mean(1, keepdim=True)) / (out.var(1, keepdim=True, unbiased=False) + 1e-6).sqrt()
        out = out * norm.weight[:, None, None] + norm.bias[:, None, None]
        if index < len(KERNELS[kind]):
            out = out * 0.5 * (1 + torch.erf(out / 2**0.5))
    torch.testing.assert_close(block(maps), maps + out)


@pytest.mark.parametrize(('dims', 'millions'), [(768, 1.92), (1024, 3.41), (1280, 5.33)])
def test_size_of_the_bottleneck(dims, millions):
    with torch.device('meta'):
        block = ConvPropagation(dims)
    assert sum(parameter.numel() for parameter in block.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_prefix_tokens_are_left_alone():
    block = redraw(TransformerBlock(Attention(12, 2), Mlp(12, 24), 12, conv_propagation='naive'))
    tokens = torch.randn(1, 2 + 12, 12)
    without = TransformerBlock(block.attn, Mlp(12, 24), 12)
    without.load_state_dict(block.state_dict(), strict=False)
    out, before = block(tokens, (3, 4)), without(tokens, (3, 4))
    assert torch.equal(out[:, :2], before[:, :2])
    maps = before[:, 2:].reshape(1, 3, 4, 12).permute(0, 3, 1, 2)
    torch.testing.assert_close(out[:, 2:], block.residual(maps).permute(0, 2, 3, 1).reshape(1, 12, 12))


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match=r"conv_blocks must be one of .*bottleneck.* got 'deep'"):
        ConvPropagation(12, 'deep')
