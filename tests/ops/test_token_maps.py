"""Maps in the order of tokens: depth-wise convolutions of levels, and sums of maps, by torch's operators in float64."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import forward_ad

from mmvitdense.ops.token_maps import (
    DepthwiseTokens,
    can_convolve,
    can_convolve_here,
    can_sum,
    channels_first,
    convolve_levels,
    depthwise_tokens,
    has_token_maps,
    sum_maps,
)

pytestmark = pytest.mark.skipif(not has_token_maps(), reason='no compiled kernels here')
GRIDS = [(5, 7), (0, 3), (1, 18), (2, 1)]
RANGES = {'one-for-all': ([3], [21]), 'two-ranges': ([3, 5], [16, 5]), 'large': ([7], [33])}


def _layers(sides, channels):
    levels = 1 if len(sides) == 1 else len(GRIDS)
    return [nn.Conv2d(n, n, k, padding=k // 2, groups=n) for _ in range(levels) for k, n in zip(sides, channels)]


def _expected(convs, tokens, gelus=0):
    """Each level and range by the layer itself."""
    groups = max(1, len(convs) // len(GRIDS))
    convs = convs if len(convs) > 1 else convs * len(GRIDS)
    parts = []
    for index, (level, grid) in enumerate(zip(tokens.split([h * w for h, w in GRIDS], 1), GRIDS)):
        layers = convs[index * groups : index * groups + groups]
        maps = level.transpose(1, 2).unflatten(2, grid).split([layer.out_channels for layer in layers], 1)
        mixed = torch.cat([layer(some) if some.numel() else some for layer, some in zip(layers, maps)], 1)
        for _ in range(gelus):
            mixed = F.gelu(mixed)
        parts.append(mixed.flatten(2).transpose(1, 2))
    return torch.cat(parts, 1)


@pytest.mark.parametrize(('sides', 'channels'), RANGES.values(), ids=RANGES)
def test_convolutions_and_their_gradients(sides, channels):
    torch.manual_seed(0)
    convs = _layers(sides, channels)
    twins = [copy.deepcopy(conv).double() for conv in convs]
    tokens = torch.randn(2, sum(h * w for h, w in GRIDS), 2 * sum(channels))[..., ::2].requires_grad_()
    wide = tokens.detach().double().requires_grad_()
    assert can_convolve_here(convs, tokens)
    got, wanted = convolve_levels(convs, tokens, GRIDS), _expected(twins, wide)
    torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-5)
    cotangent = torch.randn_like(got)
    got.backward(cotangent)
    wanted.backward(cotangent.double())
    torch.testing.assert_close(tokens.grad.double(), wide.grad, rtol=1e-5, atol=1e-5)
    for conv, twin in zip(convs, twins):
        for ours, theirs in zip(conv.parameters(), twin.parameters()):
            # The layers of a level without places are not called.
            theirs = torch.zeros_like(theirs) if theirs.grad is None else theirs.grad
            torch.testing.assert_close(ours.grad.double(), theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_layer_for_inference(dtype):
    torch.manual_seed(0)
    convs = _layers([3, 5], [16, 5])
    layer = DepthwiseTokens([convs[i : i + 2] for i in range(0, len(convs), 2)], gelus=2)
    tokens = (3 * torch.randn(1, sum(h * w for h, w in GRIDS), 21)).to(dtype)
    levels = type('Levels', (), {'grids': GRIDS})
    with torch.no_grad():
        got = layer(tokens, levels)
        wanted = _expected([conv.double() for conv in convs], tokens.double(), gelus=2)
    assert got.dtype == dtype
    tolerance = 1e-6 if dtype == torch.float32 else 4e-3
    torch.testing.assert_close(got.double(), wanted, rtol=tolerance, atol=tolerance)
    with pytest.raises(RuntimeError, match='gradients'), forward_ad.dual_level():
        layer(forward_ad.make_dual(tokens, tokens), levels)
    with pytest.raises(RuntimeError, match='gradients'):
        layer(tokens.requires_grad_(), levels)


def test_what_is_not_known_is_left_to_torch():
    conv = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    tokens = torch.randn(1, 6, 4, requires_grad=True)
    assert can_convolve_here([conv], tokens)
    with torch.autocast('cpu', torch.bfloat16):
        assert not can_convolve_here([conv], tokens)
    assert not can_convolve_here([conv], tokens.double())
    maps = torch.randn(1, 4, 2, 3)
    assert can_sum(maps)
    with forward_ad.dual_level():  # tangents would be lost
        assert not can_sum(forward_ad.make_dual(maps, maps))
    found = []
    torch.func.vmap(lambda some: found.append(can_sum(some)) or some)(maps)
    assert found == [False]
    for other in (nn.Conv2d(4, 8, 3, padding=1, groups=4), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 3, padding=1)):
        assert not can_convolve(other)
    out = convolve_levels([conv], tokens, [(2, 3)])
    (grad,) = torch.autograd.grad(out.square().sum(), tokens, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()
    with pytest.raises(ValueError, match='places'):
        depthwise_tokens(tokens.detach(), [(2, 2)], [torch.zeros(3, 3, 4)], [torch.zeros(4)])
    with pytest.raises(ValueError, match='channels'):
        depthwise_tokens(tokens.detach(), [(2, 3)], [torch.zeros(3, 3, 5)], [torch.zeros(5)])
    conv.register_forward_hook(print)
    assert not can_convolve(conv)


def test_sums():
    torch.manual_seed(0)
    first = torch.randn(2, 21, 7, 19)
    second = torch.randn(2, 22, 7, 19).contiguous(memory_format=torch.channels_last)[:, 1:]
    small, gain, shift = torch.randn(2, 21, 3, 5), torch.randn(21), torch.randn(21)
    resized = F.interpolate(small.double(), size=(7, 19), mode='bilinear', align_corners=False)
    wanted = (first.double() + second + resized) * gain[:, None, None] + shift[:, None, None]
    got = sum_maps([first, second], small, gain, shift)
    assert got.is_contiguous()
    torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sum_maps([second]), second)
    with pytest.raises(ValueError, match='same'):
        sum_maps([first, second[..., :3]])


@pytest.mark.parametrize('channels', [32, 21])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_copies_to_channels_first(channels, layout):
    maps = torch.randn(2, channels, 5, 18).contiguous(memory_format=torch.channels_last).requires_grad_()
    copied, cotangent = channels_first(maps), torch.randn(2, channels, 5, 18).contiguous(memory_format=layout)
    assert copied.is_contiguous()
    assert torch.equal(copied, maps)
    (grad,) = torch.autograd.grad(copied, maps, cotangent)
    assert torch.equal(grad, cotangent)
    assert grad.is_contiguous(memory_format=torch.channels_last)
