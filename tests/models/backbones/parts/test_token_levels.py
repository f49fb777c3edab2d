"""Several maps as one sequence."""

import torch

from mmvitdense.models.backbones.adapters import TokenLevels

GRIDS = [(4, 6), (2, 3), (1, 2)]


def levels():
    return TokenLevels(GRIDS, torch.device('cpu'))


def test_maps_and_back():
    maps = [torch.randn(2, 5, *grid) for grid in GRIDS]
    tokens = levels().join(maps)
    assert tokens.shape == (2, 32, 5)
    assert torch.equal(tokens[1, 24 + 3 + 2], maps[1][1, :, 1, 2])
    for ours, given in zip(levels().maps(tokens), maps):
        assert torch.equal(ours, given)


def test_maps_are_views_in_channels_last():
    """Also of one image, whose strides torch is free to choose: convolutions then copy nothing."""
    for batch in (1, 2):
        tokens = torch.randn(batch, 32, 5)
        for level, (height, width) in zip(levels().maps(tokens), GRIDS):
            assert level.untyped_storage().data_ptr() == tokens.untyped_storage().data_ptr()
            assert level.stride()[1:] == (1, 5 * width, 5) or 1 in (height, width)


def test_adding_to_a_level():
    tokens, summand = torch.randn(2, 32, 5), torch.randn(2, 6, 5)
    added = levels().add_to(tokens, 1, summand)
    assert torch.equal(added[:, 24:30], tokens[:, 24:30] + summand)
    assert torch.equal(added[:, :24], tokens[:, :24])
    assert torch.equal(added[:, 30:], tokens[:, 30:])


def test_centres():
    """Row r and column q of a map lie at ((q + 1/2) / width, (r + 1/2) / height)."""
    centres = levels().centres
    assert centres.shape == (1, 32, 1, 2)
    assert centres.dtype == torch.float32
    start = 0
    for height, width in GRIDS:
        for row in range(height):
            for column in range(width):
                point = centres[0, start + row * width + column, 0]
                torch.testing.assert_close(point, torch.tensor([(column + 0.5) / width, (row + 0.5) / height]))
        start += height * width


def test_gradients_of_a_sum_at_a_level():
    tokens, summand = torch.randn(2, 32, 5, requires_grad=True), torch.randn(2, 6, 5, requires_grad=True)
    cotangent = torch.randn(2, 32, 5)
    levels().add_to(tokens, 1, summand).backward(cotangent)
    assert torch.equal(tokens.grad, cotangent)
    assert torch.equal(summand.grad, cotangent[:, 24:30])
