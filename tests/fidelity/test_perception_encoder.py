"""Perception Encoder against its own code, recorded, and against timm's, with and without a class token."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from mmvitdense.apis.convert import convert_file
from mmvitdense.apis.weight_files import write_conversion
from mmvitdense.checkpoints import CheckpointError, ViTPretrained, detect, fit_to_vit, read_checkpoint
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import OUTPUTS, assert_within, redraw
from tests.fidelity.golden import read_golden
from tests.fidelity.pretraining import compare

NOT_OF_THE_VIT = {'proj', 'attn_pool', 'head'}


def load(weights, **given):
    form = detect(weights)
    model = PlainViT(**describe(form, weights, given).options).eval()
    kept, report = fit_to_vit(form.converted(weights, given.get('num_heads')), model)
    assert not report.missing
    assert not report.resized
    assert {name.split('.')[0] for name in report.left_over} <= NOT_OF_THE_VIT
    model.load_state_dict(kept)
    return model


def patches(model, image):
    with torch.no_grad():
        return model(image)[0].flatten(2).transpose(1, 2)


@pytest.mark.parametrize('container', ['tower', 'both towers'])
@pytest.mark.parametrize('name', ['pe_core', 'pe_gigantic'])
def test_official_model(tmp_path, name, container):
    """At its own size, at a larger and at an oblong one; indices of positions go on where the grid is larger."""
    golden = read_golden(name)
    weights = golden['sd']
    if container == 'both towers':
        text = {'transformer.resblocks.0.attn.in_proj_weight': torch.zeros(3), 'logit_scale': torch.zeros(())}
        weights = {f'module.{n}': x for n, x in text.items()} | {f'module.visual.{n}': x for n, x in weights.items()}
    torch.save({'weights': weights}, tmp_path / 'pe.pt')
    weights = read_checkpoint(tmp_path / 'pe.pt')
    form = detect(weights)
    assert form.name == 'Perception Encoder'
    assert form.families(weights) == (('pe-core',) if name == 'pe_core' else ('pe-lang',))
    model = load(weights, num_heads=2)
    for size, image in golden['in'].items():
        assert_within(patches(model, image), golden['out'][size], OUTPUTS, f'patches of {size}')


@pytest.mark.parametrize('name', ['pe_core', 'pe_gigantic'])
@pytest.mark.parametrize(
    'change',
    [
        lambda model: setattr(model, 'rope', None),
        lambda model: setattr(model.rope, 'pretrain_grid', 5),
        lambda model: model.pos_resize.update(mode='bicubic'),
    ],
    ids=['as a CLIP', 'indices scaled', 'bicubic positions'],
)
def test_what_would_not_be_it(name, change):
    """Every tensor fits, and the features are others, by ten times what is allowed at least."""
    golden = read_golden(name)
    model, image, expected = load(golden['sd'], num_heads=2), golden['in']['24x72'], golden['out']['24x72']
    change(model)
    assert (patches(model, image) - expected).abs().max() > 10 * OUTPUTS * expected.std()


def timm_oracle(**options):
    """timm's model of these sizes, with indices that follow the grid as in the official code."""
    eva = pytest.importorskip('timm.models.eva')
    common = {
        'img_size': 32,
        'patch_size': 8,
        'embed_dim': 192,
        'depth': 2,
        'num_heads': 3,
        'num_classes': 0,
        'attn_type': 'rope',
        'use_rot_pos_emb': True,
        'rope_grid_indexing': 'xy',
        'use_pre_transformer_norm': True,
        'use_fc_norm': False,
        'norm_layer': partial(nn.LayerNorm, eps=1e-5),
        'dynamic_img_size': True,
    }
    return redraw(eva.Eva(**{**common, **options})).eval()


@pytest.mark.parametrize('size', [(32, 32), (48, 48), (24, 56)], ids=str)
@pytest.mark.parametrize('variant', ['core', 'lang', 'spatial', 'no class token'])
def test_timm(variant, size):
    """timm resizes positions smoothly; where it has a grid of reference for indices, it is right at that grid alone."""
    without_norm = {'use_post_transformer_norm': False}
    options = {
        'core': {'global_pool': 'map', 'attn_pool_num_heads': 3, 'rope_grid_offset': 1.0},
        'lang': {**without_norm, 'init_values': 0.1, 'rope_grid_offset': 1.0},
        'spatial': {**without_norm, 'rope_grid_offset': 1.0},
        'no class token': {**without_norm, 'class_token': False, 'global_pool': ''},
    }[variant]
    oracle = timm_oracle(**options)
    weights = {f'model.vision_tower.timm_model.{n}': x for n, x in oracle.state_dict().items()}
    weights['model.language_model.lm_head.weight'] = torch.zeros(2)
    form, expected = detect(weights), f'pe-{"spatial" if variant == "no class token" else variant}'
    assert (form.name, form.families(weights)) == ('timm Perception Encoder', (expected,))
    pool = [name for name in oracle.state_dict() if name.startswith('attn_pool.')]
    smooth = {'mode': 'bicubic', 'antialias': True}
    compare(oracle.forward_features, weights, form.name, size, pool, pos_resize=smooth, num_heads=3)


@pytest.mark.parametrize('kept', ['converted', 'state dict', 'without its record'])
@pytest.mark.parametrize('name', ['pe_core', 'pe_gigantic'])
def test_our_own_files(tmp_path, name, kept):
    """What was converted is not converted again to something else, whether or not the file says that it was."""
    golden = read_golden(name)
    torch.save(golden['sd'], tmp_path / 'pe.pt')
    options = describe(detect(golden['sd']), golden['sd'], {'num_heads': 2}).options
    model = load(golden['sd'], num_heads=2)
    if kept == 'converted':
        write_conversion(convert_file(tmp_path / 'pe.pt', options={'num_heads': 2}), tmp_path / 'own.pth')
    else:
        weights = model.state_dict()
        torch.save(weights if kept == 'state dict' else dict(weights), tmp_path / 'own.pth')
    again = PlainViT(**options).eval()
    if name == 'pe_core' and kept == 'without its record':  # then it is CLIP's by its names
        with pytest.raises(CheckpointError, match="rope None, the model has 'axial from 1'"):
            ViTPretrained(tmp_path / 'own.pth')(again)
        return
    ViTPretrained(tmp_path / 'own.pth')(again)
    for size, image in golden['in'].items():
        assert_within(patches(again, image), golden['out'][size], OUTPUTS, f'patches of {size}')


@pytest.mark.parametrize(
    'rope', [None, {'kind': 'axial'}, {'kind': 'axial', 'offset': 1, 'pretrain_grid': 5}, {'kind': 'eva02'}], ids=str
)
def test_a_model_with_other_positions_is_refused(tmp_path, rope):
    golden = read_golden('pe_core')
    torch.save(golden['sd'], tmp_path / 'pe.pt')
    sizes = {'embed_dims': 24, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 48, 'patch_size': 8}
    model = PlainViT(preset='pe-core-base', **sizes, pretrain_img_size=40, rope=rope)
    with pytest.raises(CheckpointError, match="trained with rope 'axial from 1', the model has"):
        ViTPretrained(tmp_path / 'pe.pt')(model)
