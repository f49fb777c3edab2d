"""Windows: cutting, padding and putting together, against slices of arrays."""

import itertools

import numpy as np
import pytest
import torch

from mmvitdense.layers import pad_to_windows, window_merge, window_partition

SIDES = (1, 13, 14, 15, 64)


@pytest.mark.parametrize('grid', list(itertools.product(SIDES, SIDES)), ids=str)
@pytest.mark.parametrize('window', [1, 8, 14])
def test_round_trip(grid, window):
    tokens = torch.arange(2 * grid[0] * grid[1] * 3.0).reshape(2, *grid, 3)
    windows = window_partition(pad_to_windows(tokens, window), window)
    rows, columns = (-(-side // window) for side in grid)
    assert windows.shape == (2 * rows * columns, window**2, 3)
    assert torch.equal(window_merge(windows, window, grid), tokens)


@pytest.mark.parametrize('grid', [(6, 9), (3, 3), (12, 3)])
def test_windows_are_tiles_in_reading_order(grid):
    tokens = np.random.default_rng(0).normal(size=(2, *grid, 4))
    tiles = [
        tokens[image, y : y + 3, x : x + 3].reshape(9, 4)
        for image in range(2)
        for y in range(0, grid[0], 3)
        for x in range(0, grid[1], 3)
    ]
    np.testing.assert_array_equal(window_partition(torch.from_numpy(tokens), 3).numpy(), np.stack(tiles))


@pytest.mark.parametrize('fill', [None, torch.tensor([1.0, -2.0])], ids=['zeros', 'fill'])
@pytest.mark.parametrize('grid', [(5, 7), (4, 7), (5, 8), (1, 1)])
def test_padding_is_at_the_bottom_and_on_the_right(grid, fill):
    tokens = torch.randn(2, *grid, 2)
    expected = np.zeros((2, -(-grid[0] // 4) * 4, -(-grid[1] // 4) * 4, 2), np.float32)
    expected[:] = 0 if fill is None else fill.numpy()
    expected[:, : grid[0], : grid[1]] = tokens.numpy()
    np.testing.assert_array_equal(pad_to_windows(tokens, 4, fill).numpy(), expected)


def test_no_padding_returns_the_tokens():
    tokens = torch.randn(1, 8, 4, 2)
    assert pad_to_windows(tokens, 4, torch.ones(2)) is tokens
