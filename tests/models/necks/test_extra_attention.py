"""ExtraAttention: the suite, what it leaves alone, and what it is given wrongly."""

import pytest
import torch

from mmvitdense.models import ExtraAttention
from tests.models.suite import ModuleSuite


class TestExtraAttention(ModuleSuite):
    model_class = ExtraAttention
    sizes = [(2, 3), (3, 1), (1, 1)]
    variants = {
        'released': {'in_channels': [4, 8], 'num_heads': 2, 'drop_path_rate': 0.3},
        'gains': {'in_channels': [8], 'num_heads': 4, 'layer_scale_init': 0.1, 'final_norm': False, 'with_cp': True},
    }

    def inputs(self, options, batch, size):
        return ([torch.randn(batch, channels, *size) for channels in options['in_channels']],)

    def shapes(self, options, batch, size):
        return [(batch, channels, *size) for channels in options['in_channels']]

    def test_other_numbers_of_maps(self):
        with pytest.raises(ValueError, match='takes 2 maps, as many as in_channels, got 1'):
            ExtraAttention([4, 8], 2)([torch.randn(1, 8, 2, 2)])
