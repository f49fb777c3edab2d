"""What stands in for operators of torch that have no deterministic form on a GPU computes the same."""

from types import SimpleNamespace

import pytest
import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)

from mmvitdense.compat.point_sample import sampled
from mmvitdense.compat.roi_align import roi_align_backward
from mmvitdense.compat.roi_align_gradient import roi_align_gradient


@pytest.mark.parametrize('device', ['cpu', pytest.param('cuda', marks=pytest.mark.cuda)])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_gradient_of_roi_align(device, ratio, aligned):
    """Regions in and around two maps, more than a chunk of one, some of them points."""
    shape, bins = (2, 3, 11, 9), (7, 5)
    corners = torch.rand(40, 2) * 60 - 8
    sides = torch.rand(40, 2) * 70 * (torch.rand(40, 1) > 0.1)
    regions = torch.cat([torch.randint(0, 2, (40, 1)), corners, corners + sides], dim=1).double()
    grad = torch.randn(40, 3, *bins, dtype=torch.float64)
    expected = torch.ops.torchvision._roi_align_backward(grad, regions, 0.25, *bins, *shape, ratio, aligned)
    grad, regions = grad.to(device), regions.to(device)
    found = roi_align_gradient(grad, regions, torch.Size(shape), 0.25, ratio, aligned)
    torch.testing.assert_close(found.cpu(), expected)
    if device == 'cuda':
        torch.use_deterministic_algorithms(True)
        try:
            roi_align_backward(grad, regions, None, None, found, *bins, 0.25, ratio, 1, aligned)
        finally:
            torch.use_deterministic_algorithms(False)
        torch.testing.assert_close(found.cpu(), expected)


def test_classes_are_counted_on_the_cpu(monkeypatch):
    metric = pytest.importorskip('mmseg.evaluation').IoUMetric
    labels = torch.randint(0, 5, (7, 9))
    moved = []

    def as_on_a_gpu(tensor):
        return SimpleNamespace(cpu=lambda: moved.append(1) or tensor)

    expected = metric.intersect_and_union(labels, labels.flip(0), 5, 255)
    assert not moved
    monkeypatch.setattr(torch, 'are_deterministic_algorithms_enabled', lambda: True)
    found = metric.intersect_and_union(as_on_a_gpu(labels), as_on_a_gpu(labels.flip(0)), 5, 255)
    assert len(moved) == 2
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('device', ['cpu', pytest.param('cuda', marks=pytest.mark.cuda)])
def test_points_of_maps(device):
    """Also outside of the maps, with the gradients of maps and points."""
    from mmcv.ops import point_sample

    tensors = torch.randn(3, 2, 7, 5, dtype=torch.float64), torch.rand(3, 40, 2, dtype=torch.float64) * 1.2 - 0.1
    grad = torch.randn(3, 2, 40, dtype=torch.float64)
    results = []
    for place, function in (('cpu', point_sample), (device, sampled)):
        own = [tensor.to(place, copy=True).requires_grad_() for tensor in tensors]
        torch.use_deterministic_algorithms(place == 'cuda')
        try:
            output = function(*own)
            results.append(
                [output.detach().cpu(), *(g.cpu() for g in torch.autograd.grad(output, own, grad.to(place)))]
            )
        finally:
            torch.use_deterministic_algorithms(False)
    torch.testing.assert_close(*results)
