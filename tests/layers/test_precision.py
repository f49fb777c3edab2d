"""What is computed in its own precision: autocast is off there, on devices that have none too."""

import pytest
import torch
from torch.utils import _pytree as pytree

from mmvitdense.layers import BoxAttention, NeighborhoodAttention, without_autocast
from mmvitdense.layers.exit_gate import ExitGate
from mmvitdense.models import PEM, KMaX
from tests.models.suite import Crossings


def test_autocast_is_off_inside_alone():
    with torch.autocast('cpu', torch.bfloat16):
        with without_autocast(torch.zeros(1)):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def maps(*channels):
    return [torch.randn(2, width, 16 // 2**level, 16 // 2**level) for level, width in enumerate(channels)]


def boxes():
    return torch.rand(2, 6, 4).cumsum(-1) * 20


NORM = {'type': 'BN'}
MODULES = {
    'neighborhood': (
        lambda: NeighborhoodAttention(2, 3),
        lambda: (torch.randn(2, 8, 8, 8), torch.randn(2, 8, 4, 4), torch.randn(2, 8, 4, 4)),
    ),
    'boxes': (
        lambda: BoxAttention(16, 2, hidden_dims=8),
        lambda: (torch.randn(2, 6, 16), boxes(), torch.randn(2, 15, 16), torch.randn(2, 15, 16), (3, 5), 8, None),
    ),
    'gate': (lambda: ExitGate(8, 4), lambda: (torch.randn(2, 5, 8),)),
    'PEM': (
        lambda: PEM(
            (8, 8, 8, 8),
            num_classes=3,
            num_queries=4,
            num_layers=1,
            embed_dims=8,
            pixel_channels=8,
            mask_channels=8,
            num_heads=2,
            feedforward_channels=8,
            norm_cfg=NORM,
        ),
        lambda: (maps(8, 8, 8, 8),),
    ),
    'KMaX': (
        lambda: KMaX(
            (4, 4, 4, 4),
            num_classes=2,
            num_queries=3,
            num_layers=(1, 0, 0),
            embed_dims=8,
            channels=(4, 4, 2, 2),
            num_blocks=(1, 1, 1, 1),
            num_heads=2,
            feedforward_channels=8,
            norm_cfg=NORM,
        ),
        lambda: (maps(4, 4, 4, 4),),
    ),
}


@pytest.mark.parametrize('name', MODULES)
def test_no_copies_from_the_host(name):
    """Forwards and backwards, on a device whose numbers cannot be read: each copy would keep a GPU waiting."""
    build, inputs = MODULES[name]
    with torch.device('meta'):
        module, given = build(), inputs()
    for tensor in pytree.tree_leaves(given):
        if isinstance(tensor, torch.Tensor):
            tensor.requires_grad_()
    module(*given)  # what is kept from the first call on
    with Crossings() as crossings:
        found = [x for x in pytree.tree_leaves(module(*given)) if isinstance(x, torch.Tensor)]
        sum(x.sum() for x in found).backward()
    assert not crossings.found
    assert {x.device.type for x in found} == {'meta'}
