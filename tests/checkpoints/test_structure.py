"""A preset of another pre-training than that of the weights."""

import logging

import pytest
import torch

from mmvitdense.checkpoints import CheckpointError, ViTPretrained, detect, initializer
from mmvitdense.checkpoints.fit.differences import description_for, options_of_vit, rope_of
from mmvitdense.checkpoints.fit.structure import structure
from mmvitdense.models import PlainViT
from mmvitdense.models.backbones.presets import fitting_presets, structure_of
from mmvitdense.pretrainings import PRESETS, family_of

SHALLOW = {'num_layers': 1, 'pretrain_img_size': 28}


def official(preset, **options):
    """Weights in a layout of the family."""
    weights = dict(PlainViT(preset=preset, **{**SHALLOW, 'final_norm': 'last', **options}).state_dict())
    if preset.startswith('dinov2'):
        weights['mask_token'] = torch.zeros(1, 384)
    elif preset.startswith('dinov3'):
        weights = {name.replace('register', 'storage'): tensor for name, tensor in weights.items()}
    return weights


def load(tmp_path, weights, preset, init=None, **options):
    torch.save({'model': weights}, tmp_path / 'weights.pth')
    vit = PlainViT(preset=preset, **{**SHALLOW, **options})
    ViTPretrained(tmp_path / 'weights.pth', **(init or {}))(vit)
    return vit


@pytest.mark.parametrize('preset', PRESETS)
def test_a_preset_has_the_structure_of_its_weights(preset):
    with torch.device('meta'):
        weights = PlainViT(preset=preset).state_dict()
    assert structure(weights, structure_of(preset)['rope']) == structure_of(preset)
    assert preset in fitting_presets(structure_of(preset))[family_of(preset)]


@pytest.mark.parametrize(
    ('weights', 'preset'),
    [
        ('dinov2-small', 'dinov3-small'),
        ('dinov2-small', 'deit3-small'),
        ('dinov2-small', 'dinov2-reg-small'),
        ('dinov2-small', 'augreg-small'),
        ('dinov2-reg-small', 'dinov2-small'),
        ('deit3-small', 'dinov2-small'),
        ('deit3-small', 'deit-small'),
        ('dinov3-small', 'dinov2-reg-small'),
        ('deit-small', 'dinov2-small'),
        ('deit-small', 'deit3-small'),
    ],
)
def test_another_pre_training_is_refused_and_named(tmp_path, weights, preset):
    """The sizes of one block are that of no preset: the family is named."""
    message = rf'are not those of preset {preset!r}: they have .*preset that fits, .*{family_of(weights)}-\*'
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path, official(weights), preset)


def test_the_preset_of_the_size_is_named():
    told = {**structure_of('dinov2-small')}
    assert fitting_presets(told) == {'dinov2': ['dinov2-small']}
    plain = fitting_presets(structure_of('deit-small'))
    assert set(plain) == {'mae', 'deit', 'augreg', 'dino', 'ibot', 'mocov3', 'mae-lite', 'visualatom', 'exfractaldb'}
    assert plain['mae'] == []
    assert plain['mocov3'] == ['mocov3-small']


@pytest.mark.parametrize('preset', ['dinov2-small', 'dinov2-reg-small', 'dinov3-small', 'deit3-small', 'augreg-small'])
def test_the_same_pre_training(tmp_path, preset):
    """Also with options of dense prediction over those of the preset."""
    weights = official(preset)
    vit = load(tmp_path, weights, preset, window_size=2, conv_blocks=(0,), final_norm='last', patch_size=16)
    name = 'blocks.0.mlp.fc2.weight'
    assert torch.equal(vit.state_dict()[name], weights[name])


def test_families_that_names_do_not_tell_apart(tmp_path):
    for preset in ('mae-base', 'dino-base', 'augreg-base', 'ibot-base'):
        load(tmp_path, official('deit-small'), preset, arch='small')


def test_without_its_gains(tmp_path):
    """Blocks whose gains start at 1e-5 do nothing."""
    weights = {n: x for n, x in official('dinov2-small').items() if '.ls' not in n}
    with pytest.raises(CheckpointError, match="not those of preset 'dinov2-small'"):
        load(tmp_path, weights, 'dinov2-small')
    with pytest.raises(CheckpointError, match=r'lacks 2 weights of the model, first blocks.0.ls1.gamma'):
        load(tmp_path, weights, 'dinov2-small', {'allow': ['preset']})
    vit = load(tmp_path, weights, 'dinov2-small', {'as_initialized': [r'blocks\.\d+\.ls[12]']})
    assert (vit.blocks[0].ls1.gamma == 1e-5).all()


def test_what_is_meant_is_allowed(tmp_path):
    reg = official('dinov2-reg-small')
    vit = load(tmp_path, reg, 'dinov2-small', {'unused': ['register_tokens']})
    assert torch.equal(vit.norm.bias, reg['norm.bias'])
    plain = official('dinov2-small')
    vit = load(tmp_path, plain, 'dinov2-reg-small', {'as_initialized': ['register_tokens']})
    assert vit.register_tokens.std() > 0.01
    vit = load(tmp_path, plain, 'deit3-small', {'allow': ['preset']})
    assert torch.equal(vit.blocks[0].ls2.gamma, plain['blocks.0.ls2.gamma'])
    with pytest.raises(CheckpointError, match="rope None, the model has 'dinov3'"):
        load(tmp_path, plain, 'dinov3-small', {'allow': ['preset']})


def test_the_format_tells_rotary_positions():
    weights = official('dinov3-small')
    described = description_for(detect(weights), weights, PlainViT(**SHALLOW))
    assert rope_of(options_of_vit(described)) == 'dinov3'


@pytest.fixture
def warnings(monkeypatch):
    lines = []
    keep = lambda line, logger=None, level=logging.INFO: level > logging.INFO and lines.append(line)  # noqa: E731
    monkeypatch.setattr(initializer, 'print_log', keep)
    return lines


def test_patches_of_another_preset_are_refused(tmp_path):
    size = {'pretrain_img_size': 64}
    weights = official('clip-base-patch16', **size)
    with pytest.raises(CheckpointError, match=r'patches of 16 x 16 pixels, preset .* of 32: .*patch_size=16'):
        load(tmp_path, weights, 'clip-base-patch32', **size)
    load(tmp_path, weights, 'clip-base-patch32', {'allow': ['preset']}, **size)
    load(tmp_path, weights, 'clip-base-patch32', patch_size=16, **size)
    load(tmp_path, weights, 'clip-base-patch16', patch_size=32, **size)


def test_biases_that_timm_leaves_out_of_dinov3_are_zeros(tmp_path, warnings):
    weights = official('dinov3-small', qkv_bias=False)
    assert not any('qkv.bias' in name for name in weights)
    vit = load(tmp_path, weights, 'dinov3-small')
    assert not vit.blocks[0].attn.qkv.bias.any()
    assert warnings == []


def test_siglip_in_timm_fits_its_preset_without_a_word(tmp_path, warnings):
    """timm and transformers resize its positions otherwise."""
    load(
        tmp_path, {**official('siglip-base-patch16'), 'attn_pool.latent': torch.zeros(1, 1, 768)}, 'siglip-base-patch16'
    )
    assert warnings == []
