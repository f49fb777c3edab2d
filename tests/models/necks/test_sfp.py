"""SFP: the suite; its values are held against the released code by `tests/fidelity/test_co_detr.py`."""

import pytest
import torch
import torch.nn.functional as F

from mmvitdense.models import SFP
from tests.models.suite import ModuleSuite


class TestSFP(ModuleSuite):
    model_class = SFP
    sizes = [(4, 6), (5, 7), (1, 3)]
    variants = {
        'five-levels': {'in_channels': 24, 'out_channels': 8},
        'four-levels': {'in_channels': 24, 'out_channels': 8, 'with_p2': False},
        'on-vit-comer': {'in_channels': 24, 'out_channels': 8, 'lateral_channels': [6, 10]},
    }
    # The layers are those of the other pyramid, of which a compiler and other runtimes are tried.
    compiled = exported = ()

    def inputs(self, options, batch, size):
        maps = [torch.randn(batch, 24, *size)]
        for channels, factor in zip(options.get('lateral_channels', ()), (4, 2)):
            maps.append(torch.randn(batch, channels, *(factor * side for side in size)))
        return (tuple(maps),)

    def shapes(self, options, batch, size):
        levels = [[factor * side for side in size] for factor in (4, 2, 1)]
        for _ in range(2):
            levels.append([-(-side // 2) for side in levels[-1]])
        return [(batch, 8, *level) for level in (levels if options.get('with_p2', True) else levels[1:])]

    def test_further_maps_are_added(self):
        neck = self.build(self.variants['on-vit-comer'])
        (maps,) = self.inputs(self.variants['on-vit-comer'], 2, (4, 6))
        without = neck((maps[0], *map(torch.zeros_like, maps[1:])))
        weights = dict(neck.named_parameters())
        for index, (level, plain) in enumerate(zip(neck(maps), without)):
            added = F.conv2d(maps[index + 1], weights[f'laterals.{index + 1}.weight']) if index < 2 else 0
            torch.testing.assert_close(level, plain + added)

    def test_other_maps_than_expected(self):
        with pytest.raises(ValueError, match=r'SFP got 1 maps; expected 3'):
            SFP(24, 8, lateral_channels=[6, 10])((torch.zeros(1, 24, 2, 2),))
        with pytest.raises(ValueError, match=r'lateral_channels has 5 maps and there are 4 levels'):
            SFP(24, 8, with_p2=False, lateral_channels=[6] * 5)
