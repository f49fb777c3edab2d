"""Transposed convolutions that enlarge: what torch's give, and the same gradients."""

import pytest
import torch
from torch import nn

from mmvitdense.layers import UpConv2d


@pytest.mark.parametrize(('factor', 'layout'), [(2, torch.contiguous_format), (4, torch.channels_last)])
def test_is_that_of_torch_with_its_gradients(factor, layout):
    ours, torchs = UpConv2d(6, 5, factor), nn.ConvTranspose2d(6, 5, factor, stride=factor)
    torchs.load_state_dict(ours.state_dict())
    maps = torch.randn(2, 6, 3, 4).contiguous(memory_format=layout)
    outputs, gradients = [], []
    for layer in (ours, torchs):
        given = maps.clone().requires_grad_()
        output = layer(given)
        outputs.append(output)
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        gradients.append([given.grad, layer.weight.grad, layer.bias.grad])
    assert outputs[0].grad_fn.name() != outputs[1].grad_fn.name()
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(*gradients)


def test_gradients_can_be_differentiated():
    layer = UpConv2d(2, 3).double()
    maps = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, maps)
    assert torch.autograd.gradgradcheck(layer, maps)


def test_under_autocast_and_for_frozen_parts():
    layer = UpConv2d(2, 3)
    with torch.autocast('cpu', torch.bfloat16):
        layer(torch.randn(1, 2, 2, 2, requires_grad=True)).float().sum().backward()
    layer.requires_grad_(False)
    maps = torch.randn(1, 2, 2, 2, requires_grad=True)
    layer(maps).sum().backward()
    assert torch.isfinite(maps.grad).all()
