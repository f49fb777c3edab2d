"""CARAFE, PSA masks, masked convolution and mmcv's own synchronised batch norm."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv import _ext
from mmcv.ops import CARAFEPack, CornerPool, CrissCrossAttention, MaskedConv2d, PSAMask, carafe, carafe_naive
from mmcv.ops.sync_bn import SyncBatchNormFunction
from torch.autograd import gradcheck


def reassembled(features, masks, kernel, groups, scale):
    batch, channels, height, width = features.shape
    output = np.zeros((batch, channels, height * scale, width * scale))
    for b, c, y, x in np.ndindex(*output.shape):
        group = c // (channels // groups)
        for i, j in np.ndindex(kernel, kernel):
            row, column = y // scale + i - kernel // 2, x // scale + j - kernel // 2
            if 0 <= row < height and 0 <= column < width:
                weight = masks[b, (group * kernel + i) * kernel + j, y, x]
                output[b, c, y, x] += weight * features[b, c, row, column]
    return output


@pytest.mark.parametrize(('kernel', 'groups', 'scale'), [(3, 1, 2), (5, 2, 1), (1, 4, 3)])
def test_carafe(device, kernel, groups, scale):
    features = torch.randn(2, 4, 2, 3, dtype=torch.float64, device=device, requires_grad=True)
    size = (2, groups * kernel**2, 2 * scale, 3 * scale)
    masks = torch.randn(size, dtype=torch.float64, device=device, requires_grad=True)
    arrays = (features.detach().cpu().numpy(), masks.detach().cpu().numpy())
    expected = reassembled(*arrays, kernel, groups, scale)
    for function in (carafe, carafe_naive):
        output = function(features, masks, kernel, groups, scale)
        np.testing.assert_allclose(output.detach().cpu(), expected, rtol=1e-9, atol=1e-12)
    assert gradcheck(lambda *a: carafe(*a, kernel, groups, scale), (features, masks))

    # mmcv's Python code refuses the naive backward on a CPU; the function below it must give the same.
    grad = torch.randn_like(output)
    gradients = torch.autograd.grad(carafe(features, masks, kernel, groups, scale), (features, masks), grad)
    naive = [torch.zeros_like(features), torch.zeros_like(masks)]
    sizes = {'kernel_size': kernel, 'group_size': groups, 'scale_factor': scale}
    _ext.carafe_naive_backward(grad, features, masks, *naive, **sizes)
    assert all(torch.equal(a, b) for a, b in zip(gradients, naive))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_carafe_layer_under_autocast(device, dtype):
    module = CARAFEPack(4, scale_factor=2, compressed_channels=8).to(device)
    features = torch.randn(2, 4, 5, 6, device=device)
    with torch.autocast(device, dtype=dtype):
        output = module(features)
    output.float().sum().backward()
    torch.testing.assert_close(output.float(), module(features), rtol=0.05, atol=0.05)
    assert module.content_encoder.weight.grad.any()


@pytest.mark.parametrize('psa_type', ['collect', 'distribute'])
@pytest.mark.parametrize('mask_size', [(3, 5), (9, 7)])
def test_psa_mask(device, psa_type, mask_size):
    height, width = 4, 3
    layer = PSAMask(psa_type, mask_size)
    size = (2, mask_size[0] * mask_size[1], height, width)
    weights = torch.randn(size, dtype=torch.float64, device=device, requires_grad=True)
    expected = np.zeros((2, height, width, height, width))
    array = weights.detach().cpu().numpy().reshape(2, *mask_size, height, width)
    for y, x, i, j in np.ndindex(height, width, *mask_size):
        row, column = y + i - (mask_size[0] - 1) // 2, x + j - (mask_size[1] - 1) // 2
        if 0 <= row < height and 0 <= column < width:
            at = (row, column, y, x) if psa_type == 'collect' else (y, x, row, column)
            expected[:, at[0], at[1], at[2], at[3]] = array[:, i, j, y, x]
    output = layer(weights)
    np.testing.assert_array_equal(output.detach().cpu(), expected.reshape(2, height * width, height, width))
    assert gradcheck(layer, weights)


@pytest.mark.parametrize(('kernel', 'padding'), [(3, 1), (1, 0), ((3, 5), (1, 2))])
def test_masked_conv(device, kernel, padding):
    layer = MaskedConv2d(3, 5, kernel, padding=padding).to(device)
    features = torch.randn(1, 3, 6, 7, device=device)
    mask = (torch.rand(1, 6, 7, device=device) > 0.5).float()
    expected = F.conv2d(features, layer.weight, layer.bias, padding=padding) * mask
    with torch.no_grad():
        torch.testing.assert_close(layer(features, mask), expected)
        assert not layer(features, torch.zeros_like(mask)).any()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_sync_bn_alone_is_batch_norm(device, dtype):
    x = torch.randn(3, 4, 5, 2, device=device).to(dtype).requires_grad_()
    weight, bias = (torch.randn(4, device=device, requires_grad=True) for _ in range(2))
    mean, var = torch.randn(4, device=device), torch.rand(4, device=device)
    expected_mean, expected_var = mean.clone(), var.clone()
    expected = F.batch_norm(x.float(), expected_mean, expected_var, weight, bias, True, 0.3, 1e-3)
    grad = torch.randn_like(x)
    expected_grads = torch.autograd.grad(expected, (x, weight, bias), grad.float())

    output = SyncBatchNormFunction.apply(x, mean, var, weight, bias, 0.3, 1e-3, None, 1, 'default')
    grads = torch.autograd.grad(output, (x, weight, bias), grad)
    torch.testing.assert_close(output, expected.to(dtype))
    torch.testing.assert_close((mean, var), (expected_mean, expected_var))
    for result, reference in zip(grads, expected_grads):
        torch.testing.assert_close(result, reference.to(result.dtype), rtol=2e-3, atol=2e-3)


def test_corner_pool_and_criss_cross(device):
    """Pure Python in mmcv."""
    x = torch.randn(1, 8, 4, 5, device=device)
    top = torch.stack([x[:, :, i:].amax(dim=2) for i in range(4)], dim=2)
    assert torch.equal(CornerPool('top')(x), top)

    module = CrissCrossAttention(8).to(device)
    torch.nn.init.ones_(module.gamma.scale)
    query, key, value = (conv(x)[0] for conv in (module.query_conv, module.key_conv, module.value_conv))
    row, column = 2, 3
    cross = [(i, column) for i in range(4) if i != row] + [(row, j) for j in range(5)]
    energy = torch.stack([query[:, row, column] @ key[:, i, j] for i, j in cross])
    values = torch.stack([value[:, i, j] for i, j in cross])
    expected = energy.softmax(0) @ values + x[0, :, row, column]
    torch.testing.assert_close(module(x)[0, :, row, column], expected)
