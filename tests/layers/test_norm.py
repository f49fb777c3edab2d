"""LayerNorm2d against nn.LayerNorm on moved channels."""

import pytest
import torch
from torch import nn

from mmvitdense.layers import LayerNorm2d
from tests.fidelity.agreement import redraw


@pytest.mark.parametrize('size', [(5, 7), (1, 1)])
def test_values_and_gradients(size):
    ours, torchs = redraw(LayerNorm2d(6, eps=1e-3)).double(), nn.LayerNorm(6, eps=1e-3).double()
    torchs.load_state_dict(ours.state_dict())
    one = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    other = one.detach().clone().requires_grad_()
    out, expected = ours(one), torchs(other.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    out.backward(cotangent)
    expected.backward(cotangent)
    for actual, wanted in zip((one, ours.weight, ours.bias), (other, torchs.weight, torchs.bias)):
        torch.testing.assert_close(actual.grad, wanted.grad)


def test_epsilon():
    assert LayerNorm2d(4).eps == 1e-6
    maps = torch.tensor([1e-3, -1e-3]).reshape(1, 2, 1, 1)
    # The variance is 1e-6, as large as epsilon: 1e-3 / sqrt(2e-6).
    assert LayerNorm2d(2)(maps).flatten().tolist() == pytest.approx([0.5**0.5, -(0.5**0.5)], rel=1e-4)


def test_it_is_no_layer_norm():
    """Rules of weight decay go by the class, and ViTDet decays these weights."""
    assert not isinstance(LayerNorm2d(4), nn.LayerNorm)


def test_autocast_normalises_in_float32():
    norm, maps = redraw(LayerNorm2d(8)), torch.randn(2, 8, 3, 3).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        out = norm(maps)
    assert (out.float() - norm(maps.float())).abs().max() < 0.03
