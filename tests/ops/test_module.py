import pytest
import torch

from mmvitdense.ops import MultiScaleDeformableAttention

SHAPES = [(6, 8), (3, 4)]
START = [0, 48]


def arguments(device, points=2, queries=5, batch=2, channels=16):
    return {
        'query': torch.randn(queries, batch, channels, device=device),
        'value': torch.randn(60, batch, channels, device=device),
        'query_pos': torch.randn(queries, batch, channels, device=device),
        'key_padding_mask': torch.rand(batch, 60, device=device) > 0.8,
        'reference_points': torch.rand(batch, queries, 2, points, device=device) * 0.6 + 0.2,
        'spatial_shapes': torch.tensor(SHAPES, device=device),
        'level_start_index': torch.tensor(START, device=device),
    }


@pytest.fixture
def pair(implementation):
    """Our layer and mmcv's with the same random weights; mmcv's layer computes by its own Python path."""
    mmcv = pytest.importorskip('mmcv')
    from mmcv.ops import multi_scale_deform_attn as theirs
    from mmcv_python_path import own_forward

    def make(**options):
        common = {'embed_dims': 16, 'num_heads': 4, 'num_levels': 2, 'num_points': 3, 'dropout': 0.0, **options}
        ours = MultiScaleDeformableAttention(**common).to(implementation)
        if 'value_proj_ratio' in common and tuple(map(int, mmcv.__version__.split('.')[:2])) < (2, 2):
            pytest.skip('this mmcv has no value_proj_ratio')
        other = theirs.MultiScaleDeformableAttention(**common).to(implementation)
        for parameter in ours.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        other.load_state_dict(ours.state_dict())
        return ours, own_forward(other)

    make.device = implementation
    return make


@pytest.mark.parametrize('points', [2, 4])
@pytest.mark.parametrize('options', [{}, {'batch_first': True}, {'value_proj_ratio': 0.5}])
def test_as_mmcv(pair, points, options):
    ours, theirs = pair(**options)
    inputs = arguments(pair.device, points)
    if options.get('batch_first'):
        inputs |= {name: inputs[name].transpose(0, 1) for name in ('query', 'value', 'query_pos')}
    outputs = ours(**inputs), theirs(**inputs)
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
    weight = torch.randn_like(outputs[0])
    gradients = [
        torch.autograd.grad((output * weight).sum(), list(layer.parameters()))
        for output, layer in zip(outputs, (ours, theirs))
    ]
    for one, other in zip(*gradients):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_starts_as_mmcv(device):
    pytest.importorskip('mmcv')
    from mmcv.ops import MultiScaleDeformableAttention as Theirs

    ours, theirs = MultiScaleDeformableAttention(32, 4, 2, 3).state_dict(), Theirs(32, 4, 2, 3).state_dict()
    assert list(ours) == list(theirs)
    for name in ('sampling_offsets.weight', 'sampling_offsets.bias', 'attention_weights.weight', 'value_proj.bias'):
        torch.testing.assert_close(ours[name], theirs[name])
    assert ours['value_proj.weight'].abs().max() <= (6 / 64) ** 0.5


def test_query_is_the_default_value_and_identity(implementation):
    layer = MultiScaleDeformableAttention(16, 4, 1, 2, dropout=0.0, batch_first=True).to(implementation)
    query = torch.randn(1, 12, 16, device=implementation)
    points = {'reference_points': torch.rand(1, 12, 1, 2, device=implementation), 'spatial_shapes': [(3, 4)]}
    expected = layer(query, value=query, identity=query, **points)
    assert torch.equal(layer(query, **points), expected)
    assert not torch.equal(layer(query, identity=0 * query, **points), expected)


def test_padding_counts_as_zero(implementation):
    layer = MultiScaleDeformableAttention(16, 4, 1, 2, dropout=0.0, batch_first=True).to(implementation)
    torch.nn.init.ones_(layer.value_proj.bias)
    query, mask = torch.randn(1, 12, 16, device=implementation), torch.ones(1, 12, dtype=torch.bool)
    points = {'reference_points': torch.rand(1, 12, 1, 2, device=implementation), 'spatial_shapes': [(3, 4)]}
    output = layer(query, key_padding_mask=mask.to(implementation), identity=torch.zeros_like(query), **points)
    torch.testing.assert_close(output, layer.output_proj.bias.expand_as(output))


@pytest.mark.parametrize('options', [{'embed_dims': 10}, {'embed_dims': 12, 'value_proj_ratio': 0.5}])
def test_channels_that_do_not_divide(options):
    with pytest.raises(ValueError, match='multiples of num_heads=4'):
        MultiScaleDeformableAttention(num_heads=4, **options)


@pytest.mark.parametrize('name', ['reference_points', 'spatial_shapes'])
def test_missing_arguments_are_named(name):
    layer = MultiScaleDeformableAttention(16, 4, 2, 2)
    with pytest.raises(ValueError, match=f'{name} is None'):
        layer(**{**arguments('cpu'), name: None})
