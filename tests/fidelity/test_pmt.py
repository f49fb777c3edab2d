"""PMT against the official code: values, gradients, statistics of norms, published sizes; one ViT for two decoders."""

import pytest
import torch

from mmvitdense.checkpoints import convert, detect
from mmvitdense.checkpoints.formats.describe import describe
from mmvitdense.models import PMT
from mmvitdense.models.mask_transformers import TrunkTokens
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within
from tests.fidelity.golden import read_golden

BACKBONE = 'backbone.'


@pytest.fixture(scope='module')
def golden():
    return read_golden('pmt_dinov3')


def own_names(weights):
    return {name.removeprefix(BACKBONE): weight for name, weight in weights.items()}


@pytest.fixture
def model(golden):
    """With the options that the file shows, and the ViT frozen as the official code freezes it."""
    given = {'num_heads': 2, 'tap_indices': golden['meta']['kwargs']['interaction_indices'], 'norm_cfg': {'type': 'BN'}}
    options = describe(detect(golden['sd']), golden['sd'], given).options
    model = PMT(**{**options, 'vit': {**options['vit'], 'frozen_stages': options['vit']['num_layers']}})
    model.load_state_dict(own_names(convert(golden['sd'])))
    return model


def test_outputs(golden, model):
    with torch.no_grad():
        found = model.eval()(golden['in']['image'])
    assert [len(part) for part in found[:2]] == [1, 1]
    assert_within(found.classes[0], golden['out']['eval/classes'], OUTPUTS, 'classes')
    assert_within(found.masks[0], golden['out']['eval/masks'], OUTPUTS, 'masks')


def test_training_step(golden, model):
    """Masks in force, open and in force in the three blocks; gradients of all but the ViT; running statistics."""
    model.train().masking.set_probabilities(golden['meta']['probabilities'])
    found = model(golden['in']['image'])
    named = {f'train/{kind}{i}': x for kind in ('classes', 'masks') for i, x in enumerate(getattr(found, kind))}
    assert named.keys() == golden['cot'].keys()
    for name, value in named.items():
        assert_within(value, golden['out'][name], OUTPUTS, name)
    sum((value * golden['cot'][name]).sum() for name, value in named.items()).backward()
    expected = own_names(convert({**golden['grad'], **buffers(golden['sd'])}))
    parameters = dict(model.named_parameters())
    assert {name for name, p in parameters.items() if p.grad is not None} == expected.keys() & parameters.keys()
    for name in expected.keys() & parameters.keys():
        got, wanted = parameters[name].grad, expected[name]
        if name.endswith('attn.qkv.bias'):  # the official keys have no bias
            got = got.clone()
            got.chunk(3)[1].zero_()
        assert_within(got, wanted, GRADIENTS, f'gradient of {name}')
    after = own_names(convert({**golden['sd'], **golden['mid']}))
    for name, value in model.named_buffers():
        if 'running_' in name:
            assert_within(value, after[name], OUTPUTS, name)


def buffers(weights):
    """What the format recognises a file by, and has no gradient."""
    return {name: x for name, x in weights.items() if name.startswith(('decoder.attn_mask', 'encoder.pixel'))}


@pytest.mark.parametrize(
    ('arch', 'options', 'count'),
    [
        ('small', {}, 7_688_966 + 3_072),
        ('base', {}, 30_418_310 + 6_144),
        ('large', {}, 53_927_046 + 8_192),
        ('large', {'num_classes': 150, 'num_queries': 100}, 53_842_071 + 8_192),
    ],
)
def test_published_sizes(arch, options, count):
    """Of the decoder; the official keys have no bias, ours a frozen one of zeros."""
    with torch.device('meta'):
        model = PMT({'preset': f'dinov3-{arch}'}, **{'num_classes': 133, **options})
    own = [p for name, p in model.named_parameters() if not name.startswith('vit.')]
    biases_of_keys = len(model.blocks) * model.vit.embed_dims
    assert sum(parameter.numel() for parameter in own) - biases_of_keys == count
    taps = {12: (2, 5, 8, 11), 24: (5, 11, 17, 23)}
    assert model.tap_indices == taps[model.vit.num_layers]


def test_one_vit_for_two_decoders(golden, model):
    """Which run on what the ViT gave once; an image of any size."""
    other = PMT(model.vit, num_classes=5, num_queries=3, num_blocks=1, norm_cfg={'type': 'BN'}).eval()
    model.eval()
    image = golden['in']['image'][..., :50, :70]
    with torch.no_grad():
        tokens = model.trunk_tokens(image)
        for decoder in (model, other):
            found, alone = decoder.decode(tokens), decoder(image)
            assert found.masks[0].shape[2:] == (16, 20)
            assert found.image_size == (50, 70)
            torch.testing.assert_close(found.masks[0], alone.masks[0])
    with pytest.raises(ValueError, match=r'tokens after the blocks \(0, 1, 2, 3\), got those after \(0, 1, 2\)'):
        model.decode(TrunkTokens((0, 1, 2), *tokens[1:]))


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'vit': {'final_norm': None}}, "give it final_norm='all'"),
        ({'num_blocks': 0}, 'num_blocks must be a whole number of at least 1'),
        ({'feedforward_channels': 0}, 'feedforward_channels must be a whole number of at least 1'),
        ({'tap_indices': ()}, 'tap_indices names no block'),
        ({'tap_indices': (1, 9)}, 'tap_indices must be between -3 and 2'),
    ],
)
def test_bad_options(options, words):
    sizes = {'embed_dims': 16, 'num_layers': 3, 'num_heads': 2}
    with pytest.raises(ValueError, match=words):
        PMT(**{'num_classes': 2, **options, 'vit': {**sizes, **options.get('vit', {})}})
