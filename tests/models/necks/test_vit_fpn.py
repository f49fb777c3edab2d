"""ViTFPN: the suite, and the resolution changes of the detection-transfer study."""

import math

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmvitdense.models import PlainViT, ViTFPN
from tests.models.suite import ModuleSuite


class TestViTFPN(ModuleSuite):
    model_class = ViTFPN
    sizes = [(4, 6), (5, 7), (1, 9), (1, 1)]
    variants = {
        'published-groups': {'in_channels': 64},
        'few-groups': {'in_channels': 24, 'num_groups': 3},
    }

    def inputs(self, options, batch, size):
        return ([torch.randn(batch, options['in_channels'], *size) for _ in range(4)],)

    def shapes(self, options, batch, size):
        return [
            (batch, options['in_channels'], *(math.ceil(side * factor) for side in size)) for factor in (4, 2, 1, 0.5)
        ]

    def test_each_level_is_of_its_own_map(self):
        maps = [torch.randn(1, 64, 4, 6) for _ in range(4)]
        neck = self.build(self.variants['published-groups'])
        levels = neck(maps)
        assert torch.equal(levels[2], maps[2])
        assert torch.equal(levels[3], maps[3].unflatten(3, (3, 2)).unflatten(2, (2, 2)).amax(dim=(3, 5)))
        for index in range(4):
            moved = [source + (position == index) for position, source in enumerate(maps)]
            changed = [not torch.equal(new, old) for new, old in zip(neck(moved), levels)]
            assert changed == [position == index for position in range(4)]

    def test_enlarging_by_the_formula(self):
        """Out of each position four: a matrix for each corner of the square."""
        neck = self.build({'in_channels': 8, 'num_groups': 2})
        source = torch.randn(1, 8, 3, 5)
        conv = neck.resample[1]
        expected = torch.empty(1, 8, 6, 10)
        for row in range(2):
            for column in range(2):
                moved = torch.einsum('bchw,cd->bdhw', source, conv.weight[:, :, row, column])
                expected[:, :, row::2, column::2] = moved + conv.bias[:, None, None]
        torch.testing.assert_close(neck([source] * 4)[1], expected)

    @pytest.mark.parametrize(('dims', 'parameters'), [(768, 7_081_728), (1024, 12_588_032)], ids=['B', 'L'])
    def test_parameters(self, dims, parameters):
        with torch.device('meta'):
            neck = ViTFPN(dims)
        assert sum(parameter.numel() for parameter in neck.parameters()) == parameters
        assert neck.resample[0][1].eps == 1e-5

    def test_initial_weights(self):
        """LeCun's: the deviation is 1 / sqrt(fan-in), cut off at two deviations of the normal distribution."""
        neck = ViTFPN(256)
        for conv in (module for module in neck.modules() if isinstance(module, nn.ConvTranspose2d)):
            std = 1 / math.sqrt(4 * 256)
            assert conv.weight.std().item() == pytest.approx(std, rel=0.02)
            assert conv.weight.abs().max() <= 2 * std / 0.8796 * 1.001
            assert not conv.bias.any()

    def test_a_backbone_with_one_map(self):
        vit = PlainViT(embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=32, img_size=32)
        with pytest.raises(ValueError, match='takes four maps of the backbone, got 1: set its out_indices to the last'):
            ViTFPN(32)(vit(torch.randn(1, 3, 32, 32)))

    def test_groups_that_do_not_divide(self):
        with pytest.raises(ValueError, match='multiple of num_groups, got 48 and 32'):
            ViTFPN(48)

    def test_before_the_fpn_of_mmdet(self):
        """A list of necks is one neck to mmdet; odd maps meet in the FPN."""
        pytest.importorskip('mmdet')
        configs = [
            {'type': 'mmvitdense.ViTFPN', 'in_channels': 32},
            {'type': 'FPN', 'in_channels': [32] * 4, 'out_channels': 16, 'num_outs': 5},
        ]
        with DefaultScope.overwrite_default_scope('mmdet'):
            neck = MODELS.build(configs)
        levels = neck([torch.randn(1, 32, 5, 3) for _ in range(4)])
        assert [tuple(level.shape[2:]) for level in levels] == [(20, 12), (10, 6), (5, 3), (3, 2), (2, 1)]

    def test_alone_before_the_upernet_of_mmseg(self):
        pytest.importorskip('mmseg')
        vit = PlainViT(
            embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=32, img_size=64, out_indices=(0, 1, 2, 3)
        )
        head = {'type': 'UPerHead', 'in_channels': [32] * 4, 'in_index': [0, 1, 2, 3], 'channels': 16, 'num_classes': 5}
        with DefaultScope.overwrite_default_scope('mmseg'):
            head = MODELS.build(head).eval()
        assert head(ViTFPN(32)(vit(torch.randn(1, 3, 80, 48)))).shape == (1, 5, 20, 12)
