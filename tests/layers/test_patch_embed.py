"""Patch embedding against products of cut-out patches."""

import pytest
import torch

from mmvitdense.layers import PatchEmbed
from tests.fidelity.agreement import redraw


@pytest.mark.parametrize('size', [(16, 24), (17, 24), (16, 31), (1, 1)])
def test_patches_row_by_row(size):
    embed = redraw(PatchEmbed(5, 8)).double()
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    rows, columns = (-(-side // 8) for side in size)
    padded = torch.zeros(2, 3, 8 * rows, 8 * columns, dtype=torch.float64)
    padded[..., : size[0], : size[1]] = image
    tokens, grid = embed(image)
    assert grid == (rows, columns)
    assert tokens.shape == (2, rows * columns, 5)
    assert tokens.is_contiguous()
    for index in range(rows * columns):
        y, x = 8 * (index // columns), 8 * (index % columns)
        patch = padded[..., y : y + 8, x : x + 8].flatten(1)
        torch.testing.assert_close(tokens[:, index], patch @ embed.proj.weight.flatten(1).T + embed.proj.bias)


def test_without_bias_and_other_channels():
    embed = PatchEmbed(5, 4, in_channels=1, bias=False)
    assert embed.proj.bias is None
    assert embed(torch.zeros(1, 1, 8, 8))[0].shape == (1, 4, 5)
