"""ECViT of EdgeCrafter against its own code, recorded."""

from __future__ import annotations

import pytest
import torch

from mmvitdense.checkpoints import CheckpointError, ViTPretrained, detect, fit_to_vit
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.models import PlainViT
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within
from tests.fidelity.golden import read_golden


@pytest.fixture(scope='module')
def golden():
    return read_golden('ecvit')


def load(weights, **given):
    form = detect(weights)
    assert (form.name, form.families(weights)) == ('ECViT', ('ecvit',))
    described = describe(form, weights, given)
    assert not described.guesses
    model = PlainViT(**described.options, out_indices=(0, 1)).eval()
    kept, report = fit_to_vit(form.converted(weights), model)
    assert not report.missing + report.left_over + report.resized
    model.load_state_dict(kept)
    return model


@pytest.mark.parametrize('layout', ['backbone', 'detector', 'deployed'])
def test_official_model(golden, layout):
    """Own size, a smaller and an oblong one; statistics of the norms that are not those of their start."""
    weights = dict(golden['sd'])
    if layout == 'detector':
        weights = {f'backbone.backbone.{name}': x for name, x in weights.items()}
        weights.update({'backbone.projector.0.conv.weight': torch.zeros(2), 'decoder.query_pos_head.0': torch.zeros(2)})
    elif layout == 'deployed':
        weights = {name: x for name, x in weights.items() if not name.startswith('patch_embed.convs.')}
        weights.update(golden['fused'])
    model = load(weights)
    for size, image in golden['in'].items():
        with torch.no_grad():
            maps = model(image)
        for index, got in enumerate(maps):
            expected = golden['out'][f'{size}/{index}'].transpose(1, 2).unflatten(2, got.shape[2:])
            assert_within(got, expected, OUTPUTS, f'block {index} at {size}')


def test_gradients(golden):
    """Also in training, where the norms of a published stem keep their statistics."""
    model = load(golden['sd']).train()
    image = golden['in']['48x80'].clone().requires_grad_()
    maps = [out.flatten(2).transpose(1, 2) for out in model(image)]
    sum((out * golden['cot'][str(index)]).sum() for index, out in enumerate(maps)).backward()
    expected = dict(golden['grad'])
    assert_within(image.grad, expected.pop('image'), GRADIENTS, 'gradient of the image')
    expected['register_tokens'] = expected.pop('register_token')
    for name, parameter in model.named_parameters():
        assert_within(parameter.grad, expected.pop(name), GRADIENTS, f'gradient of {name}')
    assert not expected
    assert (model.patch_embed.convs[0].norm.num_batches_tracked == 7).all()


@pytest.mark.parametrize(
    'change',
    [
        lambda model: model.blocks[1].attn.qkv.bias.data[32:64].zero_(),
        lambda model: model.patch_embed.convs[1].norm.running_mean.zero_(),
    ],
    ids=['no bias of the keys', 'other statistics'],
)
def test_what_would_not_be_it(golden, change):
    """Beside rotation the bias of keys counts."""
    model, expected = load(golden['sd']), golden['out']['48x80/1']
    change(model)
    with torch.no_grad():
        got = model(golden['in']['48x80'])[1].flatten(2).transpose(1, 2)
    assert (got - expected).abs().max() > 10 * OUTPUTS * expected.std()


def test_the_model_needs_the_stem(golden, tmp_path):
    torch.save(golden['sd'], tmp_path / 'ecvit.pth')
    sizes = {'embed_dims': 32, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 64}
    ViTPretrained(tmp_path / 'ecvit.pth')(PlainViT(preset='ecvit-tiny', **sizes))
    with pytest.raises(CheckpointError, match=r'18 weights that the model has not.*\(stem\)'):
        ViTPretrained(tmp_path / 'ecvit.pth', allow=['preset'])(PlainViT(preset='ecvit-tiny', stem=None, **sizes))
