"""Gradients against finite differences in float64, for every shape of problem."""

import pytest
import torch
from problems import leaves, make
from torch.autograd import gradcheck

from mmvitdense import ops

ALL_SHAPES = [(4, 5), (1, 7), (3, 2), (2, 2), (1, 1)]
SIZES = [(levels, points, 4) for levels in range(1, 6) for points in (1, 3, 8)]
SIZES += [(1, points, 4) for points in range(1, 9)] + [(2, 2, channels) for channels in (1, 7, 8, 20, 30, 33, 64, 256)]


def check(function, arguments, fast=False):
    inputs = leaves(arguments)
    return gradcheck(function, inputs, nondet_tol=1e-12, fast_mode=fast)


@pytest.mark.parametrize(('levels', 'points', 'channels'), SIZES)
def test_classic(compiled, levels, points, channels):
    problem = make(compiled, shapes=ALL_SHAPES[:levels], points=points, channels=channels, queries=2, batch=1)
    assert check(ops.ms_deform_attn, problem.classic, fast=True)


@pytest.mark.parametrize(('levels', 'points', 'channels'), SIZES[::3] + SIZES[-6:])
@pytest.mark.parametrize('box', [False, True])
def test_fused(compiled, levels, points, channels, box):
    problem = make(compiled, shapes=ALL_SHAPES[:levels], points=points, channels=channels, queries=2, batch=1, box=box)
    assert check(ops.ms_deform_attn_fused, problem.fused, fast=True)


@pytest.mark.parametrize('queries', [2, 60])
def test_every_element(compiled, queries):
    """Few queries read the value where it is, many from a copy head by head."""
    problem = make(compiled, shapes=[(2, 3), (1, 2)], queries=queries, channels=2, points=2, batch=1)
    assert check(ops.ms_deform_attn, problem.classic)


@pytest.mark.parametrize('box', [False, True])
@pytest.mark.parametrize('shared', [False, True])
def test_every_element_of_the_fused_op(compiled, box, shared):
    problem = make(compiled, shapes=[(2, 3), (1, 2)], channels=2, points=2, box=box, shared=shared)
    assert check(ops.ms_deform_attn_fused, problem.fused)


def test_fully_outside(compiled):
    value, shapes, locations, weights = make(compiled).classic
    for far in (-3.0, 4.0, 1e30, -1e30, float('inf'), float('-inf'), float('nan')):
        inputs = leaves((value, shapes, torch.full_like(locations, far), weights))
        output = ops.ms_deform_attn(*inputs)
        assert not output.any()
        for gradient in torch.autograd.grad(output.sum(), [inputs[0], inputs[2], inputs[3]]):
            assert not gradient.any()


def test_one_sided_at_exact_borders(implementation, device):
    """At -1 and at the width a sample leaves the map: value and gradient are zero. In between, at a pixel centre, the
    gradient is that of the pixels to the right and below."""
    value = torch.tensor([1.0, 3.0, 7.0, 13.0], device=device, dtype=torch.float64).view(1, 4, 1, 1)
    columns = [-1.0, 0.0, 1.0, 3.0, 4.0]
    x = torch.tensor([(column + 0.5) / 4 for column in columns], device=device, dtype=torch.float64)
    locations = torch.stack((x, torch.full_like(x, 0.5)), dim=-1).view(1, 5, 1, 1, 1, 2).requires_grad_()
    output = ops.ms_deform_attn(value, [(1, 4)], locations, torch.ones_like(locations[..., 0]).detach())
    (gradient,) = torch.autograd.grad(output.sum(), locations)
    assert output.flatten().tolist() == [0.0, 1.0, 3.0, 13.0, 0.0]
    assert gradient[..., 0].flatten().tolist() == [0.0, 4 * 2.0, 4 * 4.0, 4 * -13.0, 0.0]


@pytest.mark.parametrize('large', [1e4, 1e30, -1e30, float('-inf')])
def test_large_and_infinite_logits(compiled, large):
    problem = make(compiled)
    problem.logits[..., 0, 1] = large
    problem.logits[:, 0, :, 2] = -large if large > -1e30 else large
    assert check(ops.ms_deform_attn_fused, problem.fused, fast=False)
    assert torch.isfinite(ops.ms_deform_attn_fused(*problem.fused)).all()


@pytest.mark.parametrize('row', [[float('inf'), 0.0], [float('-inf'), float('-inf')], [float('nan'), 0.0]])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_logits_without_softmax(implementation, row, dtype):
    """Where torch.softmax gives NaN, so does the op, in that query and head alone."""
    problem = make(implementation, dtype, shapes=[(3, 3)], points=2)
    problem.offsets.zero_()
    problem.logits[1, 2, 0, 0] = torch.tensor(row, dtype=dtype)
    output = ops.ms_deform_attn_fused(*problem.fused).unflatten(-1, (2, 4))
    bad = torch.zeros_like(output, dtype=torch.bool)
    bad[1, 2, 0] = True
    assert torch.equal(output.isnan(), bad)


def test_second_derivative_is_refused_and_the_reference_has_it(compiled):
    value, shapes, locations, weights = make(compiled, channels=1, queries=1).classic
    value.requires_grad_()
    locations.requires_grad_()
    (gradient,) = torch.autograd.grad(
        ops.ms_deform_attn(value, shapes, locations, weights).sum(), value, create_graph=True
    )
    with pytest.raises(NotImplementedError, match="set_backend\\('reference'\\)"):
        gradient.square().sum().backward()
