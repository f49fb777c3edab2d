import mmcv_oracles
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import (
    DeformConv2dPack,
    DeformRoIPoolPack,
    ModulatedDeformConv2dPack,
    ModulatedDeformRoIPoolPack,
    SAConv2d,
    deform_conv2d,
    deform_roi_pool,
    modulated_deform_conv2d,
)
from torch.autograd import gradcheck

# stride, padding, dilation, groups, deform_groups
OPTIONS = [
    ((1, 1), (1, 1), (1, 1), 1, 1),
    ((2, 1), (0, 1), (1, 1), 2, 1),
    ((1, 2), (2, 1), (2, 1), 1, 2),
    ((1, 1), (1, 0), (1, 1), 2, 4),
]


def tensors(options, device, dtype=torch.float64, kernel=(3, 2), size=(6, 5), scale=1.5):
    stride, padding, dilation, groups, deform_groups = options
    out = [(size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(2)]
    taps = deform_groups * kernel[0] * kernel[1]
    shapes = [(2, 4, *size), (2, 2 * taps, *out), (2, taps, *out), (6, 4 // groups, *kernel), (6,)]
    made = [torch.randn(shape, dtype=dtype, device=device) for shape in shapes]
    made[1] *= scale  # offsets that leave the map
    made[2] = made[2].sigmoid()
    return made


def snapped(offset, step):
    """Offsets of whole or half numbers, among them those that lead exactly to -1, the borders and the last pixel."""
    return (offset / step).round() * step if step else offset


@pytest.mark.parametrize('step', [None, 0.5, 1.0])
@pytest.mark.parametrize('options', OPTIONS)
def test_deform_conv_values_and_offset_gradients(device, options, step):
    x, offset, _, weight, _ = tensors(options, device)
    offset = snapped(offset, step).requires_grad_()
    output = deform_conv2d(x, offset, weight, *options)
    output.sum().backward()
    arrays = (t.detach().cpu().numpy() for t in (x, offset, weight))
    expected, gradient = mmcv_oracles.deform_conv(*arrays, None, *options)
    np.testing.assert_allclose(output.detach().cpu(), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(offset.grad.cpu(), gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(('with_bias', 'step'), [(True, None), (False, None), (True, 0.5), (False, 1.0)])
@pytest.mark.parametrize('options', OPTIONS)
def test_modulated_deform_conv_values_and_offset_gradients(device, options, with_bias, step):
    x, offset, mask, weight, bias = tensors(options, device)
    offset = snapped(offset, step).requires_grad_()
    bias = bias if with_bias else None
    output = modulated_deform_conv2d(x, offset, mask, weight, bias, *options)
    output.sum().backward()
    x, offset_array, mask, weight = (t.detach().cpu().numpy() for t in (x, offset, mask, weight))
    bias = bias.cpu().numpy() if with_bias else None
    expected, gradient = mmcv_oracles.deform_conv(x, offset_array, weight, bias, *options, mask=mask)
    np.testing.assert_allclose(output.detach().cpu(), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(offset.grad.cpu(), gradient, rtol=1e-9, atol=1e-12)


def test_first_gradient_of_a_new_layer(device):
    """Its offsets are zero, and with padding its points on the border lie on -1: what a compiled mmcv gives."""
    layer = ModulatedDeformConv2dPack(1, 1, 2, stride=1, padding=1, deform_groups=1, bias=False).to(device)
    torch.nn.init.ones_(layer.weight)
    layer(torch.tensor([[[[1.0, 2.0, 3.0]] * 3]], device=device)).sum().backward()
    assert layer.conv_offset.weight.grad[0, 0].tolist() == [[-7, -4], [0, 0]]
    assert layer.conv_offset.bias.grad.tolist() == [-3, -1.5] * 4 + [4.5] * 4


@pytest.mark.parametrize('step', [0.5, 1.0])
def test_other_gradients_at_whole_and_half_offsets(device, step):
    x, offset, mask, weight, _ = tensors(OPTIONS[2], device, kernel=(2, 1), size=(4, 3))
    offset = snapped(offset, step)
    inputs = [t.requires_grad_() for t in (x, mask, weight)]
    assert gradcheck(
        lambda x, m, w: modulated_deform_conv2d(x, offset, m, w, None, *OPTIONS[2]), inputs, nondet_tol=1e-12
    )
    assert gradcheck(lambda x, w: deform_conv2d(x, offset, w, *OPTIONS[2]), (x, weight), nondet_tol=1e-12)


@pytest.mark.parametrize('options', OPTIONS[1:3])
def test_deform_conv_gradients(device, options):
    x, offset, _, weight, _ = (t.requires_grad_() for t in tensors(options, device, kernel=(2, 1), size=(4, 3)))
    assert gradcheck(lambda *a: deform_conv2d(*a, *options), (x, offset, weight), nondet_tol=1e-12)


@pytest.mark.parametrize('options', OPTIONS[1:3])
@pytest.mark.parametrize('with_bias', [True, False])
def test_modulated_deform_conv_gradients(device, options, with_bias):
    *inputs, bias = (t.requires_grad_() for t in tensors(options, device, kernel=(2, 1), size=(4, 3)))
    if with_bias:
        assert gradcheck(lambda *a: modulated_deform_conv2d(*a, *options), (*inputs, bias), nondet_tol=1e-12)
    else:
        assert gradcheck(lambda *a: modulated_deform_conv2d(*a, None, *options), inputs, nondet_tol=1e-12)


def test_offsets_of_a_larger_map(device):
    """mmcv takes the leading numbers of each image, in memory order; DyHead of mmdet relies on it."""
    x, _, _, weight, bias = tensors(OPTIONS[0], device, kernel=(3, 3), size=(3, 2))
    wide = [torch.randn(2, c, 6, 4, dtype=torch.float64, device=device, requires_grad=True) for c in (18, 9)]
    offset, mask = ([image.flatten()[: c * 6].view(c, 3, 2) for image in t] for t, c in zip(wide, (18, 9)))
    expected = modulated_deform_conv2d(x, torch.stack(offset), torch.stack(mask), weight, bias, *OPTIONS[0])
    output = modulated_deform_conv2d(x, *wide, weight, bias, *OPTIONS[0])
    assert torch.equal(output, expected)
    grad = torch.randn_like(output)
    for result, reference in zip(torch.autograd.grad(output, wide, grad), torch.autograd.grad(expected, wide, grad)):
        torch.testing.assert_close(result, reference)


def test_weight_gradient_alone(device):
    x, offset, _, weight, _ = tensors(OPTIONS[0], device)
    weight.requires_grad_()
    assert gradcheck(lambda w: deform_conv2d(x, offset, w, *OPTIONS[0]), weight, nondet_tol=1e-12)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_deform_conv_16_bit(device, dtype):
    """Computed in 32 bits from the rounded inputs, and rounded once."""
    made = [t.to(dtype).requires_grad_() for t in tensors(OPTIONS[0], device, torch.float32)]
    exact = [t.detach().float().requires_grad_() for t in made]
    output = modulated_deform_conv2d(*made, *OPTIONS[0])
    expected = modulated_deform_conv2d(*exact, *OPTIONS[0])
    grad = torch.randn_like(output)
    output.backward(grad)
    expected.backward(grad.float())
    assert output.dtype == dtype
    torch.testing.assert_close(output, expected.to(dtype))
    for low, high in zip(made, exact):
        torch.testing.assert_close(low.grad, high.grad.to(dtype))


@pytest.mark.parametrize('layer', [DeformConv2dPack, ModulatedDeformConv2dPack, SAConv2d])
def test_layers_under_autocast(device, layer):
    module = layer(4, 6, 3, padding=1).to(device)
    x = torch.randn(2, 4, 8, 7, device=device)
    with torch.autocast(device, dtype=torch.bfloat16):
        output = module(x)
    output.float().sum().backward()
    assert output.shape == (2, 6, 8, 7)
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)
    torch.testing.assert_close(output.float(), module(x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize('number', [float('nan'), float('inf'), -float('inf'), 1e30])
def test_offsets_that_are_no_positions_contribute_nothing(device, number):
    x, offset, mask, weight, _ = (t.requires_grad_() for t in tensors(OPTIONS[0], device, torch.float32, size=(50, 50)))
    wild = torch.full_like(offset, number, requires_grad=True)
    for output in (
        deform_conv2d(x, wild, weight, *OPTIONS[0]),
        modulated_deform_conv2d(x, wild, mask, weight, None, *OPTIONS[0]),
    ):
        gradients = torch.autograd.grad(output.sum(), (x, wild, weight))
        assert not any(t.any() for t in (output, *gradients))


def test_no_offset_is_a_convolution(device):
    x, offset, _, weight, _ = tensors(OPTIONS[2], device)
    stride, padding, dilation, groups, _ = OPTIONS[2]
    expected = F.conv2d(x, weight, None, stride, padding, dilation, groups)
    torch.testing.assert_close(deform_conv2d(x, torch.zeros_like(offset), weight, *OPTIONS[2]), expected)


ROIS = [[0, 3.1, 2.3, 21.7, 15.9], [1, -9.0, -6.5, 13.2, 8.8], [1, 17.1, 9.3, 47.0, 33.6], [0, 8.2, 3.7, 8.7, 17.0]]


@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_deform_roi_pool_values(device, sampling_ratio):
    """A moved bin is the same bin of a moved region."""
    features = torch.randn(2, 3, 9, 12, dtype=torch.float64, device=device)
    rois = features.new_tensor(ROIS)
    offset = torch.randn(len(ROIS), 2, 3, 2, dtype=torch.float64, device=device)
    output = deform_roi_pool(features, rois, offset, (3, 2), 0.4, sampling_ratio, 0.2)
    for n, i, j in np.ndindex(len(ROIS), 3, 2):
        image, x1, y1, x2, y2 = ROIS[n]
        dx, dy = (0.2 * (offset[n, :, i, j].cpu() * torch.tensor([x2 - x1, y2 - y1], dtype=torch.float64))).tolist()
        moved = [[image, x1 + dx, y1 + dy, x2 + dx, y2 + dy]]
        arguments = ((3, 2), 0.4, sampling_ratio, np.mean, True)
        expected = mmcv_oracles.roi_align(features.cpu().numpy(), moved, *arguments)[0, :, i, j]
        np.testing.assert_allclose(output[n, :, i, j].cpu(), expected, rtol=1e-9, atol=1e-12)
    fixed = deform_roi_pool(features, rois, None, (3, 2), 0.4, sampling_ratio, 0.2)
    torch.testing.assert_close(fixed, deform_roi_pool(features, rois, offset * 0, (3, 2), 0.4, sampling_ratio, 0.2))


@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_deform_roi_pool_gradients(device, sampling_ratio):
    features = torch.randn(2, 1, 6, 7, dtype=torch.float64, device=device, requires_grad=True)
    rois = features.new_tensor(ROIS)
    offset = torch.randn(len(ROIS), 2, 2, 2, dtype=torch.float64, device=device, requires_grad=True)
    arguments = (2, 0.2, sampling_ratio, 0.1)
    assert gradcheck(lambda x, o: deform_roi_pool(x, rois, o, *arguments), (features, offset), nondet_tol=1e-12)
    assert gradcheck(lambda x: deform_roi_pool(x, rois, None, *arguments), features, nondet_tol=1e-12)


@pytest.mark.parametrize('layer', [DeformRoIPoolPack, ModulatedDeformRoIPoolPack])
def test_deform_roi_pool_layers(device, layer):
    module = layer((3, 3), 4, deform_fc_channels=8, spatial_scale=0.4).to(device)
    features = torch.randn(2, 4, 9, 12, device=device, requires_grad=True)
    with torch.autocast(device, dtype=torch.bfloat16):
        output = module(features, features.new_tensor(ROIS))
    output.float().sum().backward()
    assert output.shape == (len(ROIS), 4, 3, 3)
    assert torch.isfinite(features.grad).all()
    assert features.grad.any()


def test_deform_roi_pool_wild_numbers_pool_nothing(device):
    features = torch.randn(2, 4, 9, 12, device=device, requires_grad=True)
    rois = features.new_tensor([[0, 1.0, float('nan'), 8.0, 6.0], [1, 1.0, 2.0, float('inf'), 6.0]])
    assert not deform_roi_pool(features, rois, None, 2).any()
    offset = torch.full((1, 2, 2, 2), float('nan'), device=device)
    assert not deform_roi_pool(features, features.new_tensor([[0, 1.0, 2.0, 8.0, 6.0]]), offset, 2).any()


def test_deform_roi_pool_no_regions(device):
    features = torch.randn(2, 4, 9, 12, device=device, requires_grad=True)
    output = deform_roi_pool(features, features.new_zeros(0, 5), None, 3)
    assert output.shape == (0, 4, 3, 3)
    output.sum().backward()
    assert not features.grad.any()
