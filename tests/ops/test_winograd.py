"""Convolutions by Winograd's algorithm: those of the definition in float64."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmvitdense.ops import WinogradConv2d, can_transform, winograd

CASES = {
    # images, channels in and out, (h, w), padding, channels last
    'tiles-that-fit': (1, 64, 48, (32, 32), 1, True),
    'odd-sizes-and-channels': (2, 40, 37, (21, 23), 1, False),
    'without-padding': (4, 33, 70, (13, 18), 0, True),
    'a-row-of-one-tile': (1, 32, 32, (3, 99), 0, False),
    'fewer-tiles-than-are-worth-it': (1, 32, 32, (5, 9), 1, False),
}
needs_kernels = pytest.mark.skipif(not can_transform(nn.Conv2d(32, 32, 3)), reason='the kernels are not compiled here')


@needs_kernels
@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_against_the_definition(case, monkeypatch):
    images, ins, outs, size, padding, last = case
    torch.manual_seed(0)
    conv = nn.Conv2d(ins, outs, 3, padding=padding, bias=outs != 37)
    maps = torch.randn(images, ins, *size) + 0.5
    maps = maps.contiguous(memory_format=torch.channels_last) if last else maps
    maps[0, 0, -1, -1] = float('nan') if outs == 70 else 1.0
    with torch.inference_mode():
        bias = None if conv.bias is None else conv.bias.double()
        expected = F.conv2d(maps.double(), conv.weight.double(), bias, padding=padding)
        for relu in (False, True):
            got = WinogradConv2d(conv, relu)(maps)
            wanted = expected.relu() if relu else expected
            assert got.stride() == conv(maps).stride()
            known = ~wanted.isnan()
            # Not a number spreads over its tile, and no further.
            lost = got.isnan() & known
            assert not got[~known].isfinite().any()
            assert lost.sum() <= 16 * outs
            known &= ~lost
            difference, wanted = (got - wanted)[known], wanted[known]
            assert difference.norm() < 4e-6 * wanted.norm()
            assert difference.abs().max() < 4e-5 * wanted.std()
    # In many portions, which end inside of images.
    monkeypatch.setattr(winograd, '_AT_ONCE', 1)
    monkeypatch.setattr(winograd, '_ROWS', 5)
    with torch.inference_mode():
        again = WinogradConv2d(conv, True)(maps)
    assert torch.allclose(again, got, rtol=0, atol=1e-6, equal_nan=True)


@needs_kernels
def test_what_is_transformed_and_what_is_refused():
    conv = nn.Conv2d(32, 32, 3, padding=1)
    others = [
        nn.Conv2d(32, 32, 1),
        nn.Conv2d(32, 32, 3, stride=2),
        nn.Conv2d(32, 32, 3, dilation=2),
        nn.Conv2d(64, 64, 3, groups=2),
        nn.Conv2d(32, 32, 3, padding=1, padding_mode='reflect'),
        nn.Conv2d(32, 32, 3, padding='same'),
        nn.Conv2d(3, 64, 3, padding=1),
        copy.deepcopy(conv).double(),
    ]
    assert can_transform(conv)
    assert not any(map(can_transform, others))
    fast, maps = WinogradConv2d(conv), torch.randn(2, 32, 24, 20)
    with torch.no_grad():
        expected = fast(maps)
        for other in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast)), fast.float()):
            assert torch.equal(other(maps), expected)
        assert fast(maps[:0]).shape == (0, 32, 24, 20)
    refused = {
        'no state dict': fast.state_dict,
        'cannot be loaded': lambda: fast.load_state_dict(conv.state_dict()),
        'stays on the CPU in torch.float32': lambda: copy.deepcopy(fast).half(),
        'gradients are asked': lambda: fast(maps.clone().requires_grad_()),
        'in training mode': lambda: copy.deepcopy(fast).train()(maps),
    }
    for words, call in refused.items():
        with pytest.raises(RuntimeError, match=words):
            call()
