"""Position tables: resizing against bicubic interpolation written out."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmvitdense.layers import resize_position_table, sincos_position_table
from mmvitdense.layers.positions import absolute
from mmvitdense.models import PlainViT


def bicubic_matrix(source, target, a=-0.75, ratio=None):
    """target x source weights of cubic convolution, corners not aligned, borders repeated, nothing smoothed."""
    matrix = np.zeros((target, source))
    for i in range(target):
        position = (i + 0.5) * (ratio or source / target) - 0.5
        first = int(np.floor(position)) - 1
        for j in range(first, first + 4):
            t = abs(position - j)
            near = (a + 2) * t**3 - (a + 3) * t**2 + 1
            far = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
            matrix[i, min(max(j, 0), source - 1)] += near if t <= 1 else far
    return matrix


@pytest.mark.parametrize('target', [(14, 14), (32, 40), (5, 20), (1, 1), (64, 14)])
def test_bicubic(target):
    table = torch.randn(1, 14 * 14, 6)
    resized = resize_position_table(table, (14, 14), target)
    rows, columns = bicubic_matrix(14, target[0]), bicubic_matrix(14, target[1])
    expected = np.einsum('ya,xb,abc->yxc', rows, columns, table.double().numpy().reshape(14, 14, 6))
    np.testing.assert_allclose(resized.numpy().reshape(*target, 6), expected, atol=1e-5)


@pytest.mark.parametrize('offset', [0.1, 0.0])
@pytest.mark.parametrize('target', [(14, 20), (5, 9), (30, 8)])
def test_by_scale(target, offset):
    """The factor places the samples; without the offset it is that of the sizes."""
    table = torch.randn(1, 14 * 14, 3)
    resized = resize_position_table(table, (14, 14), target, by='scale', offset=offset)
    rows, columns = (bicubic_matrix(14, n, ratio=14 / (n + offset)) for n in target)
    expected = np.einsum('ya,xb,abc->yxc', rows, columns, table.double().numpy().reshape(14, 14, 3))
    np.testing.assert_allclose(resized.numpy().reshape(*target, 3), expected, atol=1e-5)


@pytest.mark.parametrize('source', [14, 16, 24, 32, 37])
@pytest.mark.parametrize('antialias', [False, True])
@pytest.mark.parametrize('offset', [0.1, 0.0])
def test_by_scale_gives_the_grid_asked_for(source, antialias, offset):
    """torch rounds the size down from the factor, one short at 14 -> 61 and 37 -> 39 without offset; else it agrees."""
    table = torch.randn(1, source**2, 1)
    image = table.reshape(1, source, source, 1).permute(0, 3, 1, 2)
    short = []
    for side in set(range(1, 121)) - {source}:
        resized = resize_position_table(table, (source, source), (side, 9), 'scale', offset, antialias)
        assert resized.shape == (1, side * 9, 1)
        factors = ((side + offset) / source, (9 + offset) / source)
        theirs = F.interpolate(image, scale_factor=factors, mode='bicubic', antialias=antialias)
        if theirs.shape[2:] == (side, 9):
            assert torch.equal(resized, theirs.flatten(2).transpose(1, 2)), side
            continue
        short.append(side)
        # The rows that torch does give are the same.
        assert torch.equal(resized[:, : 9 * (side - 1)], theirs.flatten(2).transpose(1, 2))
    assert bool(short) == (offset == 0 and source in (14, 37))


def test_float64_is_interpolated_in_float64():
    table = torch.randn(1, 14 * 14, 3, dtype=torch.float64)
    for by in ('size', 'scale'):
        resized = resize_position_table(table, (14, 14), (20, 9), by=by, offset=0.0)
        rows, columns = (bicubic_matrix(14, n) for n in (20, 9))
        expected = np.einsum('ya,xb,abc->yxc', rows, columns, table.numpy().reshape(14, 14, 3))
        np.testing.assert_allclose(resized.numpy().reshape(20, 9, 3), expected, atol=1e-12)


def smoothing_matrix(source, target, a=-0.5):
    """Cubic convolution that widens where the table shrinks, borders cut off and weights made to sum to one."""
    width = max(source / target, 1.0)
    matrix = np.zeros((target, source))
    for i in range(target):
        centre = (i + 0.5) * source / target
        for j in range(source):
            t = abs(j + 0.5 - centre) / width
            near = (a + 2) * t**3 - (a + 3) * t**2 + 1
            far = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
            matrix[i, j] = near if t < 1 else far if t < 2 else 0.0
    return matrix / matrix.sum(axis=1, keepdims=True)


@pytest.mark.parametrize('target', [(20, 30), (7, 5), (20, 6)])
def test_antialias(target):
    table = torch.randn(1, 14 * 14, 3)
    resized = resize_position_table(table, (14, 14), target, antialias=True)
    rows, columns = smoothing_matrix(14, target[0]), smoothing_matrix(14, target[1])
    expected = np.einsum('ya,xb,abc->yxc', rows, columns, table.double().numpy().reshape(14, 14, 3))
    np.testing.assert_allclose(resized.numpy().reshape(*target, 3), expected, atol=1e-5)


def linear_matrix(source, target, align_corners):
    """target x source weights of linear interpolation."""
    matrix = np.zeros((target, source))
    for i in range(target):
        step = (source - 1) / max(target - 1, 1) if align_corners else source / target
        position = i * step if align_corners else min(max((i + 0.5) * step - 0.5, 0), source - 1)
        first = min(int(position), source - 2)
        matrix[i, first : first + 2] = 1 - (position - first), position - first
    return matrix


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('target', [(3, 9), (7, 4), (5, 2)])
def test_upper_left_of_a_square(target, align_corners):
    table = torch.randn(1, 5 * 5, 3)
    rule = {'mode': 'bilinear', 'square': True, 'align_corners': align_corners}
    resized = resize_position_table(table, (5, 5), target, **rule)
    matrix = linear_matrix(5, max(target), align_corners)
    expected = np.einsum('ya,xb,abc->yxc', matrix, matrix, table.double().numpy().reshape(5, 5, 3))
    np.testing.assert_allclose(resized.numpy().reshape(*target, 3), expected[: target[0], : target[1]], atol=1e-5)


@pytest.mark.parametrize('target', [(5, 7), (8, 8), (3, 9), (2, 4)])
def test_tiles(target):
    table = torch.randn(1, 3 * 4, 2)
    resized = resize_position_table(table, (3, 4), target, by='tile').reshape(*target, 2)
    for row in range(target[0]):
        for column in range(target[1]):
            assert torch.equal(resized[row, column], table[0, row % 3 * 4 + column % 4])


@pytest.mark.parametrize(
    ('rule', 'message'),
    [
        ({'by': 'area'}, "'size', 'scale' or 'tile', got 'area'"),
        ({'by': 'tile', 'square': True}, "by='size' alone, got by='tile'"),
        ({'by': 'scale', 'align_corners': True}, "by='size' alone, got by='scale'"),
        ({'by': 'tile', 'antialias': True}, 'not of one that is repeated'),
    ],
)
def test_rules_that_mean_nothing_are_named(rule, message):
    """By the function, and by the model before it is built."""
    with pytest.raises(ValueError, match=message):
        resize_position_table(torch.randn(1, 4, 2), (2, 2), (3, 3), **rule)
    with pytest.raises(ValueError, match=message):
        PlainViT(pos_resize=rule)


def test_as_interpolate_does():
    table = torch.randn(1, 3 * 7, 6)
    image = table.reshape(1, 3, 7, 6).permute(0, 3, 1, 2)
    expected = F.interpolate(image, size=(5, 4), mode='bicubic', align_corners=False, antialias=False)
    assert torch.equal(resize_position_table(table, (3, 7), (5, 4)), expected.flatten(2).transpose(1, 2))


def test_equal_grids_return_the_table():
    table = torch.randn(1, 12, 4)
    assert resize_position_table(table, (3, 4), [3, 4]) is table


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_16_bits_are_interpolated_in_float32(dtype):
    table = torch.randn(1, 16, 4).to(dtype)
    with torch.autocast('cpu', torch.bfloat16):
        resized = resize_position_table(table, (4, 4), (6, 3))
    assert resized.dtype == dtype
    assert torch.equal(resized, resize_position_table(table.float(), (4, 4), (6, 3)).to(dtype))


def test_gradients_reach_the_table():
    table = torch.randn(1, 9, 2, requires_grad=True)
    resize_position_table(table, (3, 3), (4, 5)).sum().backward()
    # The weights of an output position sum to one, so the gradients sum to the number of positions.
    assert table.grad.sum(dim=1)[0].tolist() == pytest.approx([20.0, 20.0], rel=1e-5)


def test_a_table_of_another_grid_is_an_error():
    with pytest.raises(ValueError, match=r'197 rows, .* 14 x 14 grid .*class and register'):
        resize_position_table(torch.randn(1, 197, 4), (14, 14), (7, 7))


@pytest.mark.parametrize('grid', [(3, 5), (14, 14), (1, 2)])
def test_sines_and_cosines(grid):
    """Columns before rows, as MAE has them, one number after the other."""
    table = sincos_position_table(grid, 24).double().numpy().reshape(*grid, 24)
    for row in range(grid[0]):
        for column in range(grid[1]):
            for k in range(6):
                angles = (column / 1e4 ** (k / 6), row / 1e4 ** (k / 6))
                expected = [np.sin(angles[0]), np.cos(angles[0]), np.sin(angles[1]), np.cos(angles[1])]
                np.testing.assert_allclose(table[row, column, k::6], expected, atol=1e-6)


def test_sines_and_cosines_need_quarters():
    with pytest.raises(ValueError, match='a multiple of 4 channels, got 30'):
        sincos_position_table((2, 2), 30)


@pytest.mark.parametrize(
    'rule',
    [
        {},
        {'antialias': True},
        {'by': 'scale'},
        {'by': 'scale', 'antialias': True},
        {'mode': 'bilinear', 'antialias': True},
        {'align_corners': True},
        {'square': True},
    ],
    ids=str,
)
@pytest.mark.parametrize('target', [(5, 9), (12, 7)])
def test_as_products_with_matrices(monkeypatch, rule, target):
    """What stands in for torch's resizing on a GPU where deterministic algorithms are asked for."""
    table = torch.randn(1, 8 * 6, 3, dtype=torch.float64)
    expected = resize_position_table(table, (8, 6), target, **rule)
    products = []
    by_products = absolute._by_products
    monkeypatch.setattr(absolute, '_by_products', lambda *args: products.append(1) or by_products(*args))
    monkeypatch.setattr(torch, 'are_deterministic_algorithms_enabled', lambda: True)
    monkeypatch.setattr(torch.Tensor, 'is_cuda', True)
    found = resize_position_table(table.requires_grad_(), (8, 6), target, **rule)
    assert products
    torch.testing.assert_close(found, expected)
