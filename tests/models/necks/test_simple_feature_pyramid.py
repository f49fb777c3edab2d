"""SimpleFeaturePyramid: the suite, and the pyramid of ViTDet."""

import math
from itertools import pairwise

import pytest
import torch

from mmvitdense.models import SimpleFeaturePyramid
from tests.fidelity.agreement import redraw
from tests.models.suite import ModuleSuite


class TestSimpleFeaturePyramid(ModuleSuite):
    model_class = SimpleFeaturePyramid
    sizes = [(4, 6), (5, 7), (2, 9), (1, 5), (1, 1)]
    variants = {
        'vitdet': {'in_channels': 24, 'out_channels': 16, 'num_outs': 5},
        'four-levels': {'in_channels': 24, 'out_channels': 16},
        'two-extra-levels': {'in_channels': 24, 'out_channels': 8, 'scale_factors': (2, 0.5, 0.25), 'num_outs': 5},
        'extra-convolutions': {
            'in_channels': 24,
            'out_channels': 8,
            'scale_factors': (2, 1, 0.5),
            'num_outs': 5,
            'extra_convs': True,
        },
        'one-level': {'in_channels': 24, 'out_channels': 8, 'scale_factors': (1,), 'in_index': 0},
    }
    traced_backward = True
    compiled = exported = ('vitdet', 'extra-convolutions', 'one-level')

    def inputs(self, options, batch, size):
        return ((torch.randn(batch, 24, *size),),)

    def shapes(self, options, batch, size):
        factors = options.get('scale_factors', (4, 2, 1, 0.5))
        levels = [[max(math.floor(side * factor), 1) for side in size] for factor in factors]
        while len(levels) < options.get('num_outs', 0):
            levels.append([math.ceil(side / 2) for side in levels[-1]])
        return [(batch, options['out_channels'], *level) for level in levels]

    def test_the_sixth_level_is_every_other_position(self):
        levels = self.build(self.variants['vitdet'])(torch.randn(2, 24, 10, 14))
        assert torch.equal(levels[4], levels[3][..., ::2, ::2])

    def test_extra_levels_are_convolutions_of_the_level_before(self):
        neck = self.build(self.variants['extra-convolutions'])
        levels = neck(torch.randn(2, 24, 10, 14))
        weights = dict(neck.named_parameters())
        for index, (before, level) in enumerate(pairwise(levels[2:])):
            kernel, scale, shift = (weights[f'extra.{index}.{name}'] for name in ('0.weight', '1.weight', '1.bias'))
            windows = torch.nn.functional.unfold(before, 3, padding=1, stride=2)
            sums = (kernel.flatten(1) @ windows).reshape(level.shape)
            normed = (sums - sums.mean(1, keepdim=True)) / (sums.var(1, correction=0, keepdim=True) + 1e-6).sqrt()
            torch.testing.assert_close(level, normed * scale[:, None, None] + shift[:, None, None])

    @pytest.mark.parametrize(
        ('dims', 'parameters'), [(768, 5_560_000), (1024, 7_805_184), (1280, 10_640_192)], ids=['B', 'L', 'H']
    )
    def test_parameters_of_vitdet(self, dims, parameters):
        with torch.device('meta'):
            neck = SimpleFeaturePyramid(dims, num_outs=5)
        assert sum(parameter.numel() for parameter in neck.parameters()) == parameters

    def test_which_map_is_taken(self):
        maps = [torch.randn(1, 24, 4, 4) for _ in range(3)]
        options = {'in_channels': 24, 'out_channels': 8}
        for index in (0, 1, -1):
            neck = redraw(SimpleFeaturePyramid(**options, in_index=index))
            for one, other in zip(neck(maps), neck(maps[index])):
                assert torch.equal(one, other)

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'scale_factors': (4, 3)}, 'scale_factors must be out of 4, 2, 1, 0.5 and 0.25, got 3'),
            ({'num_outs': 3}, 'num_outs must be at least the 4 levels of scale_factors, got 3'),
        ],
    )
    def test_bad_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            SimpleFeaturePyramid(24, **options)
