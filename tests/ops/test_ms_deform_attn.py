import math

import pytest
import torch
from torch.autograd import gradcheck

from mmvitdense.ops import ms_deform_attn

SHAPES = [(4, 5), (1, 7), (3, 2)]


@pytest.fixture
def at(implementation: str) -> str:
    """Each test runs on the reference and on the compiled kernels."""
    return implementation


def arguments(device, dtype=torch.float64, shapes=SHAPES, batch=2, queries=3, heads=2, channels=4, points=3):
    size = sum(h * w for h, w in shapes)
    value = torch.randn(batch, size, heads, channels, dtype=dtype, device=device)
    locations = torch.rand(batch, queries, heads, len(shapes), points, 2, dtype=dtype, device=device) * 1.6 - 0.3
    weights = torch.rand(batch, queries, heads, len(shapes), points, dtype=dtype, device=device)
    return value, shapes, locations, weights


def by_definition(value, shapes, locations, weights):
    """One corner of one point at a time, in Python floats."""
    batch, queries, heads, levels, points, _ = locations.shape
    value, output = value.tolist(), torch.zeros(batch, queries, heads, value.size(3), dtype=torch.float64)
    starts = [sum(h * w for h, w in shapes[:level]) for level in range(levels)]
    for b in range(batch):
        for q in range(queries):
            for m in range(heads):
                for level, (height, width) in enumerate(shapes):
                    for p in range(points):
                        x, y = locations[b, q, m, level, p].tolist()
                        x, y = x * width - 0.5, y * height - 0.5
                        for row in (math.floor(y), math.floor(y) + 1):
                            for column in (math.floor(x), math.floor(x) + 1):
                                if 0 <= row < height and 0 <= column < width:
                                    share = (1 - abs(x - column)) * (1 - abs(y - row))
                                    corner = value[b][starts[level] + row * width + column][m]
                                    weight = weights[b, q, m, level, p].item()
                                    output[b, q, m] += weight * share * torch.tensor(corner, dtype=torch.float64)
    return output.flatten(2)


def test_values(at):
    inputs = arguments(at)
    torch.testing.assert_close(ms_deform_attn(*inputs).cpu(), by_definition(*inputs))


def test_gradients(at):
    value, shapes, locations, weights = arguments(at, channels=2, queries=2, points=2)
    leaves = [tensor.requires_grad_() for tensor in (value, locations, weights)]
    assert gradcheck(lambda v, x, w: ms_deform_attn(v, shapes, x, w), leaves, nondet_tol=1e-12)


def test_shapes_as_a_tensor(at):
    value, shapes, locations, weights = arguments(at)
    expected = ms_deform_attn(value, shapes, locations, weights)
    for index_device in {at, 'cpu'}:
        tensor = torch.tensor(shapes, device=index_device)
        assert torch.equal(ms_deform_attn(value, tensor, locations, weights), expected)


def test_points_at_pixel_centres_and_borders(at):
    """A centre gives the pixel; half a pixel outside the border gives zero, the border itself one half."""
    value = torch.arange(1.0, 7.0, device=at).view(1, 6, 1, 1)
    points = [(0.5 / 3, 0.25), (2.5 / 3, 0.75), (0.0, 0.25), (-0.5 / 3, 0.25), (1 + 0.5 / 3, 0.75), (5.0, -3.0)]
    locations = torch.tensor(points, device=at).view(1, 6, 1, 1, 1, 2)
    output = ms_deform_attn(value, [(2, 3)], locations, torch.ones(1, 6, 1, 1, 1, device=at))
    torch.testing.assert_close(output.flatten().cpu(), torch.tensor([1.0, 6.0, 0.5, 0.0, 0.0, 0.0]))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_16_bit_value_with_32_bit_locations(at, dtype):
    """On a map above 181 x 181, where F.grid_sample in 16 bits reads foreign memory on a CPU."""
    shapes = [(200, 190)]
    value, _, locations, weights = arguments(at, torch.float32, shapes, batch=1, queries=64)
    low = value.to(dtype).requires_grad_()
    exact = low.detach().double().requires_grad_()
    output = ms_deform_attn(low, shapes, locations, weights)
    expected = ms_deform_attn(exact, shapes, locations.double(), weights.double())
    grad = torch.randn_like(output)
    output.backward(grad)
    expected.backward(grad.double())
    assert output.dtype == dtype
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(output.double(), expected, rtol=eps, atol=1e-4)
    torch.testing.assert_close(low.grad.double(), exact.grad, rtol=eps, atol=1e-4)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_all_16_bit(at, dtype):
    value, shapes, locations, weights = (
        t.to(dtype) if isinstance(t, torch.Tensor) else t for t in arguments(at, torch.float32)
    )
    expected = ms_deform_attn(value.double(), shapes, locations.double(), weights.double())
    output = ms_deform_attn(value, shapes, locations, weights)
    torch.testing.assert_close(output.double(), expected, rtol=torch.finfo(dtype).eps, atol=1e-4)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(at, dtype):
    inputs = arguments(at, torch.float32)
    expected = ms_deform_attn(*inputs)
    with torch.autocast(at, dtype=dtype):
        assert torch.equal(ms_deform_attn(*inputs), expected)


@pytest.mark.parametrize('empty', ['batch', 'queries', 'heads', 'channels', 'points'])
def test_empty(at, empty):
    value, shapes, locations, weights = arguments(at, **{empty: 0})
    leaves = [tensor.requires_grad_() for tensor in (value, locations, weights)]
    output = ms_deform_attn(value, shapes, locations, weights)
    assert output.shape == (value.size(0), locations.size(1), value.size(2) * value.size(3))
    assert not output.any()
    gradients = torch.autograd.grad(output.sum(), leaves)
    assert [gradient.shape for gradient in gradients] == [leaf.shape for leaf in leaves]
    assert not any(gradient.any() for gradient in gradients)


def test_empty_level(at):
    value, _, locations, weights = arguments(at)
    expected = ms_deform_attn(value, SHAPES, locations, weights)
    wide = torch.cat((locations, locations[:, :, :, :1]), dim=3), torch.cat((weights, weights[:, :, :, :1]), dim=3)
    assert torch.equal(ms_deform_attn(value, [*SHAPES, (0, 4)], *wide), expected)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'value': lambda t: t[0]}, r'value has 3 dimensions.*expected 4'),
        ({'value': lambda t: t.long()}, r'value is torch.int64.*floating'),
        ({'value': lambda t: t[:, 1:]}, r'spatial_shapes .* 33 positions, but value has 32'),
        ({'sampling_locations': lambda t: t[..., 0]}, r'sampling_locations has 5 dimensions'),
        ({'sampling_locations': lambda t: t[..., :1]}, r'sampling_locations has shape .*expected \(2, 3, 2, 3, 3, 2\)'),
        ({'sampling_locations': lambda t: t[:, :, :, :2]}, r'sampling_locations has shape'),
        ({'sampling_locations': lambda t: t.int()}, r'sampling_locations is torch.int32'),
        ({'attention_weights': lambda t: t[None]}, r'attention_weights has 6 dimensions'),
        ({'attention_weights': lambda t: t[:1]}, r'attention_weights has shape'),
        ({'attention_weights': lambda t: t.bool()}, r'attention_weights is torch.bool'),
        ({'attention_weights': lambda t: t.to('meta')}, r'attention_weights is on meta and value on cpu'),
        ({'spatial_shapes': lambda s: torch.tensor(s).float()}, r'spatial_shapes is a torch.float32 tensor'),
        ({'spatial_shapes': lambda s: torch.tensor(s).cfloat()}, r'spatial_shapes is a torch.complex64 tensor'),
        ({'spatial_shapes': lambda s: torch.tensor(s, device='meta')}, r'spatial_shapes is on meta'),
        ({'spatial_shapes': lambda s: torch.tensor(s).double().tolist()}, r'spatial_shapes is .*expected integers'),
        ({'spatial_shapes': lambda s: torch.tensor(s)[0]}, r'spatial_shapes is a .* tensor of shape \(2,\)'),
        ({'spatial_shapes': lambda s: [(4, 5, 1), (1, 7), (3, 2)]}, r'spatial_shapes is .*expected one \(H, W\)'),
        ({'spatial_shapes': lambda s: [(-4, -5), (1, 7), (3, 2)]}, r'spatial_shapes is .*not negative'),
    ],
)
def test_bad_arguments_are_named(change, message):
    names = ('value', 'spatial_shapes', 'sampling_locations', 'attention_weights')
    inputs = dict(zip(names, arguments('cpu')))
    for name, make in change.items():
        inputs[name] = make(inputs[name])
    with pytest.raises(ValueError, match=message):
        ms_deform_attn(**inputs)
