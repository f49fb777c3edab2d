"""ResFormer against its released code, and what that code cannot: maps that are not square, windows."""

import math

import pytest
import torch

from mmvitdense.checkpoints import detect
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.layers import Attention, SineConvPositions
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within, redraw
from tests.fidelity.golden import read_golden


def test_official_model():
    """Class token and patches, the gradients of everything, options read off the file."""
    golden = read_golden('resformer')
    form = detect(golden['sd'])
    options = describe(form, golden['sd'], {'num_heads': 3}).options
    assert (options['pos_embed'], options['value_conv'], options['final_norm']) == ('sine_conv', 3, 'last')
    model = PlainViT(**options).eval()
    model.load_state_dict(form.converted(golden['sd']))
    image = golden['in']['image'].clone().requires_grad_()
    tokens, grid = model.embed(image)
    tokens = model.norm(model.run_blocks(tokens, grid))
    assert_within(tokens, golden['out']['tokens'], OUTPUTS, 'tokens')
    (tokens * golden['cot']['tokens']).sum().backward()
    assert_within(image.grad, golden['grad'].pop('image'), GRADIENTS, 'gradient of the image')
    expected = form.converted(golden['grad'])
    for name, parameter in model.named_parameters():
        assert_within(parameter.grad, expected.pop(name), GRADIENTS, f'gradient of {name}')
    assert not expected


@pytest.mark.parametrize(('size', 'total'), [('tiny', 5_689_192), ('small', 21_986_536), ('base', 86_431_720)])
def test_totals(size, total):
    """As the released models have, without their classifier of 1000 classes."""
    with torch.device('meta'):
        model = PlainViT(preset=f'resformer-{size}', final_norm='last')
    ours = sum(parameter.numel() for parameter in model.parameters())
    assert ours == total - 1000 * (model.embed_dims + 1)


def test_sine_code_of_an_oblong_grid():
    """The formula of section 3.2, number by number, seen through a convolution that passes its input."""
    positions = SineConvPositions(8).double()
    with torch.no_grad():
        positions.conv.weight.zero_()[:, 0, 1, 1] = 1
        positions.conv.bias.zero_()
        code = positions((3, 5)).unflatten(1, (3, 5))[0]
    for row in range(3):
        for column in range(5):
            angles = [2 * math.pi * (i + 1) / (n + 1e-6) for i, n in ((row, 3), (column, 5))]
            expected = [
                f(angle / 10000 ** (2 * pair / 4)) for angle in angles for pair in (0, 1) for f in (math.sin, math.cos)
            ]
            torch.testing.assert_close(code[row, column], torch.tensor(expected).double(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('pad', ['tokens', 'qkv'])
def test_values_are_convolved_on_the_map_whatever_the_windows(pad):
    """On an oblong map that windows do not tile; what is added is that of attention without windows."""
    torch.manual_seed(0)
    attention = redraw(Attention(12, 2, window_size=2, window_pad=pad, value_conv=3))
    tokens, grid = torch.randn(2, 2 + 15, 12), (3, 5)
    with torch.no_grad():
        values = attention.qkv(tokens)[..., 24:]
        found = attention(tokens, grid)
        without, attention.value_conv = attention.value_conv, None
        added = (found - attention(tokens, grid))[:, 2:].unflatten(1, grid)
        padded = torch.nn.functional.pad(values[:, 2:].unflatten(1, grid), (0, 0, 1, 1, 1, 1))
        local = torch.zeros(2, *grid, 12)
        for channel in range(12):
            kernel, bias = without.weight[channel % 6, 0], without.bias[channel % 6]
            for row in range(3):
                for column in range(5):
                    patch = padded[:, row : row + 3, column : column + 3, channel]
                    local[:, row, column, channel] = (patch * kernel).sum((1, 2)) + bias
        torch.testing.assert_close(added, local @ attention.proj.weight.T, atol=1e-5, rtol=1e-4)
    assert torch.equal(found[:, :2], torch.zeros(2, 2, 12))


def test_starts_as_a_vit_with_the_sine_code():
    model = PlainViT(arch='tiny', num_layers=1, pos_embed='sine_conv', value_conv=3)
    model.init_weights()
    conv = model.blocks[0].attn.value_conv
    assert not conv.weight.any()
    assert not conv.bias.any()
    assert model.sine_conv.conv.weight.any()


@pytest.mark.parametrize(('value_conv', 'embed_dims'), [(2, 12), (-3, 12), (True, 12), ('3', 12), (3, 6)])
def test_options_that_mean_nothing(value_conv, embed_dims):
    sizes = {'embed_dims': embed_dims, 'num_layers': 1, 'num_heads': 2, 'feedforward_channels': 8}
    with pytest.raises(ValueError, match='value_conv|multiple of 4'):
        PlainViT(**sizes, pos_embed='sine_conv', value_conv=value_conv)
