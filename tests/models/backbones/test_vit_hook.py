"""What ViT-Hook owes as a backbone, and what is its own."""

import pytest
import torch
from torch import nn

from mmvitdense.layers import Attention
from mmvitdense.models import ViTHook
from tests.fidelity.agreement import assert_within, redraw
from tests.models.backbones.adapters import VIT, AdapterSuite

SMALL = {'deform_num_heads': 2, 'conv_inplane': 8, 'num_hooks': 2, 'deform_ratio': 1.0}


class TestViTHook(AdapterSuite):
    model_class = ViTHook
    variants = {
        'full': {'vit': VIT, 'pos_img_size': (64, 32)},
        'deformable': {'vit': VIT, 'self_attention': 'deformable', 'num_extra_cross_attentions': 1},
        'full-cross': {'vit': VIT, 'self_attention': None, 'cross_attention': 'full', 'cffn_ratio': None},
    }
    common = SMALL
    one_stage = {'num_hooks': 1}
    compiled = {'full': {**variants['full'], 'vit': {**VIT, 'num_layers': 1}, 'num_hooks': 1}}
    exported = ()
    test_a_bad_option_is_named = None  # of stages, see below


def test_it_starts_without_positions_and_the_vit_is_untouched():
    model = ViTHook(VIT, out_vit_map=True, pos_img_size=64, **SMALL).eval()
    assert not model.level_embed.any()
    assert not model.level_pos_embed.any()
    image = torch.randn(1, 3, 64, 96)
    redraw(nn.ModuleList([model.interactions, model.spm]))
    assert torch.equal(model(image)[0], model.vit(image)[0])


def test_positions_at_their_own_grid():
    model = ViTHook(VIT, pos_img_size=(64, 96), **SMALL)
    nn.init.normal_(model.level_pos_embed)
    maps = model.place_levels([torch.zeros(1, 32, 8 // s, 12 // s) for s in (1, 2, 4)])
    assert torch.equal(maps[1].flatten(2).transpose(1, 2), model.level_pos_embed)
    assert_within(maps[2], nn.functional.interpolate(maps[1], (2, 3), mode='bicubic', antialias=True), 1e-6, 'last')


def test_full_attention_is_that_of_torch():
    """By torch's own module."""
    attention = redraw(Attention(32, 2)).eval()
    other = nn.MultiheadAttention(32, 2, batch_first=True).eval()
    weights = attention.state_dict()
    names = {'in_proj_weight': 'qkv.weight', 'in_proj_bias': 'qkv.bias'}
    names |= {'out_proj.weight': 'proj.weight', 'out_proj.bias': 'proj.bias'}
    other.load_state_dict({new: weights[old] for new, old in names.items()})
    tokens = torch.randn(2, 21, 32)
    assert_within(attention(tokens, (1, 21)), other(tokens, tokens, tokens)[0], 1e-5, 'attention')


@pytest.mark.parametrize('tuned', [(), (1, 3)])
def test_a_frozen_vit_and_its_tuned_blocks(tuned):
    model = redraw(ViTHook({**VIT, 'frozen_stages': 'all', 'tuned_blocks': tuned}, **SMALL)).train()
    sum(level.square().sum() for level in model(torch.randn(2, 3, 64, 64))).backward()
    learning = {
        name.split('.')[2] for name, p in model.named_parameters() if name.startswith('vit.') and p.grad is not None
    }
    assert learning == {str(index) for index in tuned}
    assert all(p.grad is not None for name, p in model.named_parameters() if not name.startswith('vit.'))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_hooks': 0}, 'num_hooks must be a whole number of at least 1, got 0'),
        ({'self_attention': 'flash'}, "self_attention must be one of .* got 'flash'"),
        ({'cross_attention': 'local'}, "cross_attention must be one of .* got 'local'"),
        ({'self_attention': None, 'cross_attention': None}, 'do nothing: give one of them'),
        ({'cross_attention': None, 'num_extra_cross_attentions': 2}, 'num_extra_cross_attentions=2 needs'),
        ({'vit_feature': 'stagewise'}, "vit_feature='stagewise' needs 4 stages"),
        ({'pos_img_size': 8}, 'pos_img_size must be at least one patch'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        ViTHook(VIT, **{**SMALL, **options})
