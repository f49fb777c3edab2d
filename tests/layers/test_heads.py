"""Query, key and value in one pass: what padding, cutting and splitting one after the other give, with gradients."""

import pytest
import torch

from mmvitdense.layers import pad_to_windows, window_partition
from mmvitdense.layers.heads import split_heads, split_heads_in_windows

HEADS, WINDOW = 2, 3


def _one_by_one(qkv, fill=None, window=WINDOW):
    if window:
        qkv = window_partition(pad_to_windows(qkv, window, fill), window)
    return qkv.unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4).unbind(0)


@pytest.mark.parametrize('filled', [False, True])
@pytest.mark.parametrize('grid', [(3, 6), (5, 6), (6, 4), (7, 8), (2, 1)], ids=str)
def test_windows(grid, filled):
    tensors = [torch.randn(2, *grid, 24, requires_grad=True)]
    tensors += [torch.randn(24, requires_grad=True)] if filled else []
    ours = split_heads_in_windows(tensors[0], HEADS, WINDOW, *tensors[1:])
    theirs = _one_by_one(*tensors)
    assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
    with torch.no_grad():
        again = split_heads_in_windows(tensors[0], HEADS, WINDOW, *tensors[1:])
    assert all(torch.equal(*pair) for pair in zip(ours, again, strict=True))
    # In the layouts in which gradients come: of a kernel, and of a part of a larger tensor.
    cotangents = [torch.randn_like(part) for part in theirs[:2]]
    cotangents.append(torch.randn(*theirs[2].shape[:3], 8)[..., ::2])
    got, expected = (
        torch.autograd.grad(parts, tensors, cotangents, materialize_grads=True) for parts in (ours, theirs)
    )
    torch.testing.assert_close(got, expected)


def test_all_tokens():
    qkv = torch.randn(2, 7, 24, requires_grad=True)
    ours, theirs = split_heads(qkv, HEADS), _one_by_one(qkv, window=0)
    assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
    cotangents = [torch.randn_like(part) for part in theirs]
    got, expected = (torch.autograd.grad(parts, qkv, cotangents) for parts in (ours, theirs))
    torch.testing.assert_close(got, expected)


def test_second_derivatives_and_vmap():
    qkv, fill = torch.randn(1, 2, 4, 12, dtype=torch.float64), torch.randn(12, dtype=torch.float64)
    given = qkv.requires_grad_(), fill.requires_grad_()
    assert torch.autograd.gradgradcheck(lambda *t: split_heads_in_windows(t[0], HEADS, WINDOW, t[1]), given)

    def total(qkv):
        return sum(part.sin().sum() for part in split_heads_in_windows(qkv, HEADS, WINDOW))

    several = torch.randn(3, 1, 2, 4, 12)
    together = torch.func.vmap(torch.func.grad(total))(several)
    torch.testing.assert_close(together, torch.stack([torch.func.grad(total)(one) for one in several]))
