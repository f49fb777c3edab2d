import mmcv_oracles
import numpy as np
import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention, multi_scale_deform_attn
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch.autograd import gradcheck

SHAPES = [(4, 5), (2, 3)]


def tensors(device, dtype=torch.float64, batch=2, queries=3):
    value = torch.randn(batch, 26, 2, 3, dtype=dtype, device=device)
    locations = torch.rand(batch, queries, 2, 2, 2, 2, dtype=dtype, device=device) * 1.6 - 0.3
    weights = torch.rand(batch, queries, 2, 2, 2, dtype=dtype, device=device)
    shapes = torch.tensor(SHAPES, device=device)
    return value, shapes, torch.tensor([0, 20], device=device), locations, weights


def attend(value, shapes, start, locations, weights):
    return MultiScaleDeformableAttnFunction.apply(value, shapes, start, locations, weights, 64)


def test_values(device):
    value, shapes, start, locations, weights = tensors(device)
    expected = mmcv_oracles.ms_deform_attn(*(t.cpu().numpy() for t in (value, shapes, locations, weights)))
    output = attend(value, shapes, start, locations, weights)
    np.testing.assert_allclose(output.cpu(), expected, rtol=1e-9, atol=1e-12)


def test_gradients(device):
    value, shapes, start, locations, weights = tensors(device)
    assert gradcheck(
        lambda v, x, w: attend(v, shapes, start, x, w),
        [t.requires_grad_() for t in (value, locations, weights)],
        nondet_tol=1e-12,
    )


def test_no_queries(device):
    value, shapes, start, locations, weights = tensors(device, queries=0)
    value.requires_grad_()
    output = attend(value, shapes, start, locations, weights)
    assert output.shape == (2, 0, 6)
    output.sum().backward()
    assert not value.grad.any()


def test_module_under_autocast(device):
    module = (
        MultiScaleDeformableAttention(16, num_heads=2, num_levels=2, num_points=2, batch_first=True).to(device).eval()
    )
    query = torch.randn(2, 26, 16, device=device, requires_grad=True)
    arguments = {
        'reference_points': torch.rand(2, 26, 2, 2, device=device),
        'spatial_shapes': torch.tensor(SHAPES, device=device),
        'level_start_index': torch.tensor([0, 20], device=device),
    }
    expected = module(query, value=query, **arguments)
    with torch.autocast(device, dtype=torch.bfloat16):
        output = module(query, value=query, **arguments)
    output.float().sum().backward()
    torch.testing.assert_close(output.float(), expected, rtol=0.05, atol=0.05)
    assert torch.isfinite(query.grad).all()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_python_path_in_16_bit(device, dtype):
    """On a map where F.grid_sample in 16 bits reads foreign memory on a CPU."""
    shapes = torch.tensor([(40, 50)], device=device)
    value = torch.randn(1, 2000, 8, 32, device=device).to(dtype)
    locations = torch.rand(1, 30, 8, 1, 4, 2, device=device)
    weights = torch.rand(1, 30, 8, 1, 4, device=device).to(dtype)
    output = multi_scale_deform_attn.multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)
    arguments = (value.float(), shapes, torch.zeros(1, dtype=torch.int64, device=device), locations, weights.float())
    assert output.dtype == dtype
    torch.testing.assert_close(output, attend(*arguments).to(dtype))
