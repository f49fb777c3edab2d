"""ChannelMapperWithPooling: the suite, and mmdet's mapper with pooling behind it."""

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.models import ChannelMapperWithPooling
from tests.fidelity.agreement import redraw
from tests.models.suite import ModuleSuite


class TestChannelMapperWithPooling(ModuleSuite):
    model_class = ChannelMapperWithPooling
    sizes = [(8, 12), (5, 7), (1, 9)]
    variants = {'two-pooled': {'in_channels': [6, 8], 'out_channels': 4, 'num_outs': 4}}
    exported = ()

    def inputs(self, options, batch, size):
        return ([torch.randn(batch, channels, *size) for channels in options['in_channels']],)

    def shapes(self, options, batch, size):
        sizes = [size, size]
        while len(sizes) < 4:
            sizes.append(tuple(max(side // 2, 1) for side in sizes[-1]))
        return [(batch, 4, *each) for each in sizes]


def test_names_and_values_are_those_of_mmdets_mapper():
    necks = pytest.importorskip('mmdet.models.necks')
    oracle = redraw(necks.ChannelMapper([6, 8, 8], 4, kernel_size=1))
    neck = ChannelMapperWithPooling([6, 8, 8], 4, 4)
    neck.load_state_dict(oracle.state_dict())
    maps = [torch.randn(2, channels, 7, 6) for channels in (6, 8, 8)]
    expected = oracle(maps)
    for found, wanted in zip(neck(maps), [*expected, F.max_pool2d(expected[-1], 2, 2)], strict=True):
        torch.testing.assert_close(found, wanted)


def test_what_cannot_be():
    with pytest.raises(ValueError, match='num_outs must be at least the 2 maps of in_channels, got 1'):
        ChannelMapperWithPooling([4, 4], 4, 1)
    with pytest.raises(ValueError, match='1 maps are given, in_channels has 2'):
        ChannelMapperWithPooling([4, 4], 4)([torch.randn(1, 4, 2, 2)])
