"""What is told of a model that computes otherwise than the pre-training of its weights."""

import pytest
import torch

from mmvitdense.checkpoints import CheckpointError, detect
from mmvitdense.checkpoints.fit.differences import differences
from mmvitdense.models import PlainViT
from tests.checkpoints.test_layouts import timm_aimv2
from tests.fidelity.test_pretraining_formats_flax import TestFlax as Flax

SMALL = {
    'embed_dims': 192,
    'num_layers': 1,
    'num_heads': 3,
    'feedforward_channels': 24,
    'patch_size': 8,
    'img_size': 32,
}


def found(weights, **options):
    return differences(detect(weights), weights, PlainViT(**{**SMALL, **options}))


def plain(**options):
    return PlainViT(**{**SMALL, 'with_cls_token': True, **options}).state_dict()


def dinov3():
    options = {'pos_embed': None, 'num_registers': 2, 'layer_scale_init': 1.0, 'with_cls_token': True}
    weights = PlainViT(**SMALL, **options).state_dict()
    return {name.replace('register', 'storage'): tensor for name, tensor in weights.items()}


def test_nothing_to_tell():
    assert found(plain()) == []
    # timm's layout holds DINO and AugReg as well as MAE, and tells neither from the other.
    assert found(plain(), pos_resize={'by': 'scale'}, act='gelu_tanh') == []


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        ({'num_heads': 6}, 'num_heads is 6, the weights come with 3 (a guess)'),
        ({'norm_eps': 1e-5}, 'norm_eps is 1e-05, the weights come with 1e-06'),
        ({'qkv_bias': 'qv'}, "qkv_bias is 'qv', the weights come with True"),
    ],
)
def test_one_thing_to_tell(options, line):
    assert found(plain(), **options) == [line]


def test_positions_that_are_computed_and_in_no_weight():
    """Without them every tensor of an AIMv2 native fits, and its outputs are wrong."""
    options = {'norm': 'rms', 'patch_norm': True, 'proj_bias': False, 'ffn_bias': False, 'qkv_bias': False}
    options |= {'ffn': 'swiglu', 'norm_eps': 1e-5, 'final_norm': 'last'}
    model = PlainViT(**{**SMALL, **options, 'pos_embed': 'sincos_mae'})
    weights = timm_aimv2(dict(model.state_dict()))
    assert differences(detect(weights), weights, model) == []
    message = "trained with pos_embed 'sincos_mae', the model has None"
    for pos_embed in (None, 'sincos_bv'):
        with pytest.raises(CheckpointError, match=message if pos_embed is None else "the model has 'sincos_bv'"):
            found(weights, **options, pos_embed=pos_embed)
    other = PlainViT(**{**SMALL, **options, 'pos_embed': None})
    assert len(differences(detect(weights), weights, other, ['pos_embed'])) == 1


def test_the_options_of_the_weights_differ_in_nothing():
    weights = {**plain(layer_scale_init=1.0), 'mask_token': torch.zeros(1, 192)}
    assert found(weights) == ["pos_resize is 'by size', the weights come with 'by scale with offset 0.1'"]
    assert found(weights, pos_resize={'by': 'scale', 'antialias': False}) == []
    assert differences(detect(weights), weights, PlainViT(**SMALL, with_cls_token=True), ['pos_resize']) == []
    model = PlainViT(**detect(weights).options(weights))
    assert differences(detect(weights), weights, model) == []


@pytest.mark.parametrize(
    ('weights', 'rope', 'trained', 'has'),
    [
        (dinov3, None, "'dinov3'", 'None'),
        (dinov3, {'kind': 'eva02'}, "'dinov3'", "'eva02'"),
        (lambda: dict(plain()), {'kind': 'eva02'}, 'None', "'eva02'"),
    ],
    ids=['lacked', 'others', 'added'],
)
def test_other_rotary_positions(weights, rope, trained, has):
    """Nothing in the names would show it, and the features would be noise."""
    with pytest.raises(CheckpointError, match=rf"trained with rope {trained}, the model has {has}.*allow=\['rope'\]"):
        found(weights(), rope=rope)
    weights, model = weights(), PlainViT(**{**SMALL, 'rope': rope})
    lines = differences(detect(weights), weights, model, allowed=['rope'])
    assert lines[0] == f'rope is {has}, the weights come with {trained}'


def test_the_same_rotary_positions():
    lines = found(dinov3(), rope={'kind': 'dinov3'}, pos_embed=None)
    assert [line.split()[0] for line in lines] == ['norm_eps', 'qkv_bias']


def test_rotary_positions_of_our_own_file():
    """It has timm's names and records what they do not tell."""
    weights = plain(rope={'kind': 'eva02'})
    assert detect(weights).name == 'timm ViT'
    assert found(weights, rope={'kind': 'eva02'}) == []
    with pytest.raises(CheckpointError, match="trained with rope 'eva02', the model has None"):
        found(weights)


def test_heads_that_the_file_tells():
    arrays = {name: torch.from_numpy(array) for name, array in Flax.arrays('augreg').items()}
    heads = detect(arrays).options(arrays)['num_heads']
    with pytest.raises(CheckpointError, match=rf'trained with num_heads {heads}, the model has {2 * heads}.*allow='):
        found(arrays, num_heads=2 * heads)


def test_a_width_that_nobody_published():
    assert found(plain(embed_dims=96), embed_dims=96, num_heads=4) == []


def test_large_tensors_are_not_read():
    weights = plain(feedforward_channels=6000)
    weights['blocks.0.mlp.fc1.weight'] = torch.empty(6000, 192, device='meta')
    assert found(weights, feedforward_channels=6000) == []


def test_activation():
    arrays = {name: torch.from_numpy(array) for name, array in Flax.arrays('augreg').items()}
    assert found(arrays) == ["act is 'gelu', the weights come with 'gelu_tanh'"]
    assert found(arrays, act='gelu_tanh') == []
