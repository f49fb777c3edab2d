import mmcv_oracles
import numpy as np
import pytest
import torch
from mmcv.ops import (
    RoIAlign,
    RoIPool,
    SimpleRoIAlign,
    point_sample,
    rel_roi_point_to_rel_img_point,
    roi_align,
    roi_pool,
)
from torch.autograd import gradcheck

# Inside, across every border, wholly outside, thin, and in the second image.
ROIS = [
    [0, 4.3, 2.1, 21.7, 15.9],
    [1, -9.0, -6.5, 13.2, 8.8],
    [1, 17.1, 9.3, 47.0, 33.6],
    [0, -60.0, -60.0, -40.0, -45.0],
    [0, 8.25, 3.75, 8.75, 17.0],
]


def inputs(device, dtype=torch.float64):
    return torch.randn(2, 3, 9, 12, dtype=dtype, device=device), torch.tensor(ROIS, dtype=dtype, device=device)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_values(device, mode, sampling_ratio, aligned):
    features, rois = inputs(device)
    output = roi_align(features, rois, (3, 2), 0.4, sampling_ratio, mode, aligned)
    reduce = {'avg': np.mean, 'max': np.max}[mode]
    expected = mmcv_oracles.roi_align(
        features.cpu().numpy(), rois.tolist(), (3, 2), 0.4, sampling_ratio, reduce, aligned
    )
    np.testing.assert_allclose(output.cpu(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_gradient(device, mode, sampling_ratio, aligned):
    features, rois = inputs(device)
    features = features[:, :1].requires_grad_()  # channels do not meet
    assert gradcheck(lambda x: roi_align(x, rois, (2, 3), 0.4, sampling_ratio, mode, aligned), features, atol=1e-8)


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_roi_align_16_bit(device, dtype, mode):
    """Coordinates stay in 32 bits: the result is that of the same features in float32, rounded once."""
    features = torch.randn(2, 3, 40, 60, device=device).to(dtype).requires_grad_()
    rois = torch.tensor(ROIS, device=device) + torch.tensor([0, 150.3, 100.1, 150.3, 100.1], device=device)
    exact = features.detach().float().requires_grad_()
    grad = torch.randn(len(ROIS), 3, 7, 7, device=device).to(dtype)
    output = roi_align(features, rois, 7, 0.25, 0, mode, True)
    expected = roi_align(exact, rois, 7, 0.25, 0, mode, True)
    output.backward(grad)
    expected.backward(grad.float())
    assert output.dtype == features.grad.dtype == dtype
    assert torch.equal(output, expected.to(dtype))
    assert torch.equal(features.grad, exact.grad.to(dtype))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_roi_align_under_autocast(device, dtype):
    features, rois = inputs(device, torch.float32)
    expected = RoIAlign(5, 0.4)(features, rois)
    with torch.autocast(device, dtype=dtype):
        assert torch.equal(RoIAlign(5, 0.4)(features, rois), expected)


@pytest.mark.parametrize('pool', [RoIAlign(5), RoIAlign(5, pool_mode='max'), RoIPool(5)])
def test_no_regions(device, pool):
    features = torch.randn(2, 3, 9, 12, device=device, requires_grad=True)
    output = pool(features, features.new_zeros(0, 5))
    assert output.shape == (0, 3, 5, 5)
    output.sum().backward()
    assert torch.equal(features.grad, torch.zeros_like(features))


@pytest.mark.parametrize('pool', [RoIAlign(5), RoIAlign(5, sampling_ratio=2), RoIAlign(5, pool_mode='max'), RoIPool(5)])
def test_wild_regions_pool_nothing(device, pool):
    features = torch.randn(2, 3, 9, 12, device=device, requires_grad=True)
    rois = features.new_tensor([[0, 1.0, float('nan'), 8.0, 6.0], [1, 1.0, 2.0, float('inf'), 6.0], [1, 2, 2, 6, 6]])
    output = pool(features, rois)
    assert not output[:2].any()
    assert output[2].any()
    output[:2].sum().backward()
    assert not features.grad.any()


def test_roi_align_max_of_an_empty_region(device):
    """The number from which mmcv's kernels start to look; no gradient."""
    features = torch.ones(1, 1, 4, 4, device=device, requires_grad=True)
    output = roi_align(features, torch.tensor([[0, 2.0, 1.0, 2.0, 3.0]], device=device), 2, 1.0, 0, 'max', True)
    assert output.unique().tolist() == [-1e4 if device == 'cpu' else torch.finfo(torch.float32).min]
    output.sum().backward()
    assert not features.grad.any()


def test_roi_align_max_at_minus_one(device):
    """mmcv notes the height of the sample it took, with -1 for none: one at -1 has its value, and no gradient."""
    for height, expected in ((-1.0, 0), (-0.75, 1), (0.0, 1)):
        features = torch.ones(1, 1, 4, 4, device=device, requires_grad=True)
        rois = torch.tensor([[0, 2.0, height - 1, 3.0, height + 1]], device=device)
        output = roi_align(features, rois, 1, 1.0, 1, 'max', False)
        assert output.item() == 1
        output.sum().backward()
        assert features.grad.sum() == expected


def pooled(features, roi, size, spatial_scale):
    """Maximum over every pixel that a bin touches; the region reaches to (x2 + 1, y2 + 1)."""
    x1, y1 = (coordinate * spatial_scale for coordinate in roi[:2])
    x2, y2 = ((coordinate + 1) * spatial_scale for coordinate in roi[2:])
    output = np.zeros((features.shape[0], *size))
    for i, j in np.ndindex(*size):
        top, bottom = y1 + i * (y2 - y1) / size[0], y1 + (i + 1) * (y2 - y1) / size[0]
        left, right = x1 + j * (x2 - x1) / size[1], x1 + (j + 1) * (x2 - x1) / size[1]
        pixels = [
            features[:, row, column]
            for row in range(features.shape[1])
            for column in range(features.shape[2])
            if row + 1 > top and row < bottom and column + 1 > left and column < right
        ]
        output[:, i, j] = np.max(pixels, axis=0) if pixels else 0
    return output


def test_roi_pool_values(device):
    features, rois = inputs(device)
    output = roi_pool(features, rois, (3, 2), 0.4)
    for i, (image, *roi) in enumerate(ROIS):
        expected = pooled(features[image].cpu().numpy(), roi, (3, 2), 0.4)
        np.testing.assert_allclose(output[i].cpu(), expected)
    assert torch.equal(output[3], torch.zeros_like(output[3]))


def test_roi_pool_gradient(device):
    features, rois = inputs(device)
    features = features[:, :1].requires_grad_()
    assert gradcheck(lambda x: roi_pool(x, rois, (2, 3), 0.4), features)


def test_roi_pool_first_of_equal_maxima_gets_the_gradient(device):
    features = torch.zeros(1, 1, 4, 4, device=device, requires_grad=True)
    roi_pool(features, torch.tensor([[0.0, 1.0, 1.0, 3.0, 3.0]], device=device), 1, 1.0).sum().backward()
    assert features.grad.nonzero().tolist() == [[0, 0, 1, 1]]


def test_roi_pool_malformed_region_is_zero(device):
    features = torch.ones(1, 2, 4, 4, device=device)
    assert not roi_pool(features, torch.tensor([[0.0, 3.0, 1.0, 1.0, 3.0]], device=device), 2, 1.0).any()


def test_point_helpers(device):
    """Pure Python in mmcv; the reference is the bilinear definition."""
    features, _ = inputs(device)
    points = torch.rand(2, 6, 2, dtype=torch.float64, device=device)
    sampled = point_sample(features, points)
    for b, c, p in np.ndindex(2, 3, 6):
        x, y = points[b, p].tolist()
        value = mmcv_oracles.bilinear_zero(features[b, c].cpu().numpy(), y * 9 - 0.5, x * 12 - 0.5)
        assert sampled[b, c, p].item() == pytest.approx(value)

    rois = torch.tensor([[1, 2.0, 3.0, 8.0, 6.0]], dtype=torch.float64, device=device)
    relative = rel_roi_point_to_rel_img_point(rois, points[:1], (9, 12))
    expected = (points[0] * points.new_tensor([6, 3]) + points.new_tensor([2, 3])) / points.new_tensor([12, 9])
    torch.testing.assert_close(relative[0], expected)

    output = SimpleRoIAlign(2, spatial_scale=1.0)(features, rois)
    for c, i, j in np.ndindex(3, 2, 2):
        value = mmcv_oracles.bilinear_zero(
            features[1, c].cpu().numpy(), 3 + (i + 0.5) * 1.5 - 0.5, 2 + (j + 0.5) * 3 - 0.5
        )
        assert output[0, c, i, j].item() == pytest.approx(value)
