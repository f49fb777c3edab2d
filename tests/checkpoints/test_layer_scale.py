"""LayerScale folded into the layers before it."""

import pytest
import torch

from mmvitdense.checkpoints.fit.layer_scale import fold_layer_scale
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import assert_within, redraw

SMALL = {'embed_dims': 16, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 24, 'patch_size': 8, 'img_size': 32}


@pytest.mark.parametrize('ffn', ['mlp', 'swiglu'])
def test_the_same_function(ffn):
    source = redraw(PlainViT(**SMALL, ffn=ffn, layer_scale_init=1.0)).eval()
    target = PlainViT(**SMALL, ffn=ffn).eval()
    target.load_state_dict(fold_layer_scale(source.state_dict()))
    image = torch.randn(1, 3, 24, 40)
    assert_within(target(image)[0], source(image)[0], 1e-5, 'output')


def test_nothing_to_fold():
    weights = PlainViT(**SMALL).state_dict()
    assert fold_layer_scale(weights) == weights
