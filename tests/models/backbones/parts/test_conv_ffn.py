"""The feed-forward network with a convolution."""

import torch
import torch.nn.functional as F

from mmvitdense.models.backbones.adapters import ConvFFN, TokenLevels
from tests.fidelity.agreement import assert_within, redraw


def test_levels_share_a_convolution_and_do_not_mix():
    network = redraw(ConvFFN(8, 4))
    grids = [(4, 6), (2, 3), (1, 2)]
    tokens = torch.randn(2, 32, 8)
    actual = network(tokens, TokenLevels(grids, torch.device('cpu')))
    start, weight = 0, network.dwconv.dwconv.weight
    for height, width in grids:
        part = tokens[:, start : start + height * width]
        hidden = network.fc1(part).transpose(1, 2).reshape(2, 4, height, width)
        columns = F.unfold(hidden, 3, padding=1).reshape(2, 4, 9, height * width)
        hidden = (columns * weight.reshape(4, 9, 1)).sum(2) + network.dwconv.dwconv.bias[:, None]
        expected = network.fc2(F.gelu(hidden.transpose(1, 2)))
        assert_within(actual[:, start : start + height * width], expected, 1e-5, f'level of {height} x {width}')
        start += height * width
