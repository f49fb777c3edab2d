"""PEM against the official code: values, gradients, statistics of norms, published sizes."""

import pytest
import torch

from mmvitdense.models import PEM
from tests.fidelity.agreement import GRADIENTS, OUTPUTS, assert_within, redraw
from tests.fidelity.golden import read_golden
from tests.fidelity.pretraining import rename

OURS = (
    (r'^pixel_decoder\.in_projections\.', 'pixel_decoder.laterals.'),
    (r'^pixel_decoder\.conv_avg\.', 'pixel_decoder.context.'),
    (r'^pixel_decoder\.csm\.(\d)\.mlp\.0\.mlp\.0\.', r'pixel_decoder.modulations.\1.reduce.'),
    (r'^pixel_decoder\.csm\.(\d)\.mlp\.0\.mlp\.1\.', r'pixel_decoder.modulations.\1.norm.'),
    (r'^pixel_decoder\.csm\.(\d)\.mlp\.0\.mlp\.3\.', r'pixel_decoder.modulations.\1.expand.'),
    (r'^pixel_decoder\.dcn\.(\d)\.', r'pixel_decoder.steps.\1.'),
    (r'\.dcn_offset\.', '.offset.'),
    (r'\.dcn_bn\.', '.norm.'),
    (r'\.dcn\.', '.conv.'),
    (r'\.up_sample\.', '.up.'),
    (r'\.up_bn\.', '.up_norm.'),
    (r'^pixel_decoder\.out\.', 'pixel_decoder.output.'),
    (r'\.bn\.', '.norm.'),
    (r'^predictor\.', ''),
    (r'^input_proj\.', 'inputs.'),
    (r'^decoder_norm\.', 'norm.'),
    (r'^class_embed\.', 'cls_embed.'),
    (r'^mask_embed\.layers\.(\d)\.', lambda match: f'mask_embed.{2 * int(match[1])}.'),
    (r'^transformer_cross_attention_layers\.(\d)\.', r'layers.\1.cross_attn.'),
    (r'\.feature_proj\.to_query_3x3\.', '.local.'),
    (r'\.feature_proj\.norm\.', '.map_norm.'),
    (r'\.feature_proj\.out\.', '.key.'),
    (r'\.query_proj\.0\.', '.query_norm.'),
    (r'\.query_proj\.1\.', '.query.'),
    (r'\.proj\.', '.project.'),
    (r'\.final\.', '.output.'),
    (r'\.alpha$', '.gain'),
    (r'^transformer_self_attention_layers\.(\d)\.self_attn\.', r'layers.\1.self_attn.'),
    (r'^transformer_self_attention_layers\.(\d)\.norm\.', r'layers.\1.norm1.'),
    (r'^transformer_ffn_layers\.(\d)\.linear', r'layers.\1.fc'),
    (r'^transformer_ffn_layers\.(\d)\.norm\.', r'layers.\1.norm2.'),
)


def to_ours(weights):
    renamed = rename(weights, *OURS)
    return {name: x.flatten() if name.endswith('.gain') else x for name, x in renamed.items()}


@pytest.fixture(scope='module')
def golden():
    return read_golden('pem')


@pytest.fixture
def model(golden):
    given = golden['meta']['kwargs']
    model = PEM(
        given['in_channels'],
        num_classes=given['num_classes'],
        num_queries=given['num_queries'],
        num_layers=given['dec_layers'],
        embed_dims=given['hidden_dim'],
        pixel_channels=given['conv_dim'],
        mask_channels=given['mask_dim'],
        num_heads=given['nheads'],
        feedforward_channels=given['dim_feedforward'],
        norm_cfg={'type': 'BN'},
    )
    missing, unexpected = model.load_state_dict(to_ours(golden['sd']), strict=False)
    assert not unexpected
    assert all(name.endswith('num_batches_tracked') for name in missing)
    return model


def maps_of(golden):
    return [golden['in'][f'map{i}'].clone().requires_grad_() for i in range(4)]


def backward(golden, found, mode):
    named = {f'{mode}/{kind}{i}': x for kind in ('classes', 'masks') for i, x in enumerate(getattr(found, kind))}
    if mode == 'eval':
        named = {name.rstrip('0'): x for name, x in named.items()}
    assert named.keys() == {name for name in golden['out'] if name.startswith(mode)}
    for name, value in named.items():
        assert_within(value, golden['out'][name], OUTPUTS, name)
    sum((value * golden['cot'][name]).sum() for name, value in named.items()).backward()


def test_training_step(golden, model):
    """All predictions, all gradients, the running statistics; some queries are masked out, and all of one image."""
    maps = maps_of(golden)
    backward(golden, model.train()(maps), 'train')
    expected = {name: x for name, x in golden['grad'].items() if not name.startswith(('eval/', 'in/'))}
    parameters = dict(model.named_parameters())
    for index, given in enumerate(maps):
        assert_within(given.grad, golden['grad'][f'in/map{index}'], GRADIENTS, f'gradient of map {index}')
    compared = to_ours(expected)
    for name, wanted in compared.items():
        assert_within(parameters[name].grad, wanted, GRADIENTS, f'gradient of {name}')
    # What is the same at all places of a map is taken away by the norm that follows, where that is of the batch.
    left = parameters.keys() - compared.keys()
    assert left == {'level_embed.weight', *(f'inputs.{i}.bias' for i in range(3))}
    assert max(parameters[name].grad.abs().max() for name in left) < 1e-4
    buffers = dict(model.named_buffers())
    for name, wanted in to_ours({n: x for n, x in golden['mid'].items() if 'running_' in n}).items():
        assert_within(buffers[name], wanted, OUTPUTS, name)


def test_evaluation(golden, model):
    maps = maps_of(golden)
    found = model.eval()(maps)
    assert (found.covered, found.image_size) == ((64, 96), None)
    backward(golden, found, 'eval')
    expected = {n.removeprefix('eval/'): x for n, x in golden['grad'].items() if n.startswith('eval/')}
    for index, given in enumerate(maps):
        assert_within(given.grad, expected.pop(f'in/map{index}'), GRADIENTS, f'gradient of map {index}')
    parameters = dict(model.named_parameters())
    for name, wanted in to_ours(expected).items():
        assert_within(parameters[name].grad, wanted, GRADIENTS, f'gradient of {name}')
    assert len(expected) == 4


def test_pixel_decoder(golden, model):
    with torch.no_grad():
        mask_maps, levels = model.train().pixel_decoder(maps_of(golden))
    assert_within(mask_maps, golden['mid']['mask_maps'], OUTPUTS, 'map for masks')
    for index, level in enumerate(levels):
        assert_within(level, golden['mid'][f'level{index}'], OUTPUTS, f'level {index}')


def test_published_sizes(golden):
    """Of the official modules on a ResNet-50, 19 classes; with its 23.5 million 35.5, 35.6 as published."""
    with torch.device('meta'):
        model = PEM((256, 512, 1024, 2048), num_classes=19)
    pixels = sum(p.numel() for p in model.pixel_decoder.parameters())
    assert pixels == golden['meta']['parameters']['pixel_decoder']
    assert sum(p.numel() for p in model.parameters()) - pixels == golden['meta']['parameters']['predictor']


def small(**options):
    given = {'embed_dims': 8, 'pixel_channels': 8, 'mask_channels': 8, 'num_heads': 2, 'feedforward_channels': 8}
    given |= {'num_layers': 3, 'num_queries': 3, 'norm_cfg': {'type': 'BN'}, 'in_channels': (4, 4, 4, 4)}
    return PEM(**{**given, 'num_classes': 2, **options})


@pytest.mark.parametrize('sizes', [((9, 13), (5, 7), (3, 4), (2, 2)), ((9, 13), (4, 6), (2, 3), (1, 1))])
def test_odd_sizes(sizes):
    """Halves that are rounded up, as convolutions of stride 2 do, or down, as the simple pyramid does."""
    model = redraw(small()).eval()
    found = model([torch.randn(1, 4, *size) for size in sizes])
    assert found.masks[0].shape == (1, 3, 9, 13)
    assert found.masks[0].isfinite().all()


@pytest.mark.parametrize('autocast', [True, False])
def test_bfloat16(autocast):
    """Under autocast with gradients, and as the type of a model."""
    model = redraw(small()).train(autocast)
    maps = [torch.randn(2, 4, side, side) for side in (8, 4, 2, 1)]
    if autocast:
        with torch.autocast('cpu', torch.bfloat16):
            found = model(maps)
        sum(x.float().sum() for x in found.masks + found.classes).backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())
    else:
        found = model.bfloat16()([x.bfloat16() for x in maps])
    assert found.masks[-1].dtype == torch.bfloat16
    assert found.masks[-1].isfinite().all()


def test_initial_weights():
    """The published ones; what attention has is not left at zero."""
    torch.manual_seed(0)
    model = small(embed_dims=64, num_heads=4, pixel_channels=64)
    layer, step = model.layers[0], model.pixel_decoder.steps[0]
    expected = {layer.self_attn.in_proj_weight: (2 / (64 + 192)) ** 0.5, layer.fc1.weight: (2 / 72) ** 0.5}
    expected |= {model.inputs[0].weight: 64**-0.5, step.conv.weight: (2 / (9 * 64)) ** 0.5}
    expected |= {
        layer.cross_attn.gain: 0.0,
        model.query_feat.weight: 1.0,
        model.pixel_decoder.laterals[0].conv.weight: 0.5,
    }
    for weight, std in expected.items():
        assert weight.std().item() == pytest.approx(std, rel=0.15)
    assert layer.cross_attn.gain.eq(1).all()
    assert not step.offset.weight.any()
    assert not layer.self_attn.in_proj_bias.any()


def test_masks_that_leave_nothing():
    """Such a query takes the first place, unless all of the image are so or `reset_per_query` says otherwise."""
    torch.manual_seed(0)
    keys, queries = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    blocked = torch.zeros(2, 3, 5, dtype=torch.bool)
    blocked[0, 1] = blocked[1] = True
    blocked[0, 0, :4] = True
    published, ours = (small(reset_per_query=each).layers[0].cross_attn for each in (False, True))
    free = ours._most_alike(keys, queries, torch.zeros_like(blocked))
    found = published._most_alike(keys, queries, blocked)
    assert torch.equal(found[0, :2], keys[0, [4, 0]])
    assert torch.equal(found[1], free[1])
    found = ours._most_alike(keys, queries, blocked)
    assert torch.equal(found[0, 1:], free[0, 1:])
    assert torch.equal(found[0, 0], keys[0, 4])


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'in_channels': (4, 4, 4)}, r'four maps, of strides 4, 8, 16 and 32, got in_channels=\[4, 4, 4\]'),
        ({'embed_dims': 12, 'num_heads': 8}, 'multiple of 4 and of num_heads=8, got 12'),
        ({'norm_cfg': {'type': 'IN'}}, 'the type of norm_cfg must be one of'),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(ValueError, match=words):
        small(**options)


def test_bad_maps():
    with pytest.raises(ValueError, match='takes four maps, .* got 3'):
        small().eval()([torch.randn(1, 4, side, side) for side in (8, 4, 2)])
    with pytest.raises(ValueError, match=r'sides each twice those of the next, got \(8, 8\) before \(2, 2\)'):
        small().eval()([torch.randn(1, 4, side, side) for side in (8, 8, 2, 1)])
