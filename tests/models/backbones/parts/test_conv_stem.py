"""The convolutional stem: sizes, and norms that see the image alone. Its numbers are in MIMDet's golden files."""

import pytest
import torch
from torch import nn

from mmvitdense.models.backbones.mimdet import ConvStem
from tests.fidelity.agreement import assert_within, redraw


@pytest.mark.parametrize('size', [(64, 96), (65, 95), (17, 1), (1, 1)])
def test_sides_are_rounded_up(size):
    maps = ConvStem(16, in_channels=2)(torch.randn(2, 2, *size))
    expected = [
        (2, channels, -(-size[0] // stride), -(-size[1] // stride)) for channels, stride in ((4, 4), (8, 8), (16, 16))
    ]
    assert [tuple(level.shape) for level in maps] == expected


def test_layers_one_after_the_other():
    """Written down with the layers of torch alone."""
    stem = redraw(ConvStem(16))
    image = torch.randn(2, 3, 48, 64)
    maps, expected = image, []
    for stage in stem.stages:
        assert (stage.conv.kernel_size, stage.conv.stride, stage.conv.padding) == ((3, 3), (2, 2), (1, 1))
        assert stage.conv.bias is None
        convolved = nn.functional.conv2d(maps, stage.conv.weight, stride=2, padding=1)
        mean = convolved.mean((1, 2, 3), keepdim=True)
        variance = convolved.var((1, 2, 3), keepdim=True, correction=0)
        normed = (convolved - mean) / (variance + 1e-6).sqrt()
        normed = normed * stage.norm.weight[:, None, None] + stage.norm.bias[:, None, None]
        maps = 0.5 * normed * (1 + torch.erf(normed / 2**0.5))
        expected.append(maps)
    last = torch.einsum('oc,bchw->bohw', stem.proj.weight[:, :, 0, 0], maps) + stem.proj.bias[:, None, None]
    for output, wanted in zip(stem(image), [*expected[1:3], last]):
        assert_within(output, wanted, 1e-5, 'map')


def test_without_padding_masking_changes_nothing():
    plain, masked = (redraw(ConvStem(16, mask_padding=mask)) for mask in (False, True))
    image = torch.randn(2, 3, 48, 64)
    for sizes in (None, [(48, 64), (48, 64)]):
        for output, wanted in zip(masked(image, sizes), plain(image)):
            assert_within(output, wanted, 1e-5, 'map')


def test_channels():
    with pytest.raises(ValueError, match='must be a multiple of 8, got 20'):
        ConvStem(20)
