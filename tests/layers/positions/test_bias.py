"""BEiT's bias: which row belongs to which pair of tokens, and the table at other grids."""

import numpy as np
import pytest
import torch

from mmvitdense.layers import RelativePositionBias, resize_bias_table
from mmvitdense.layers.positions.bias import relative_position_bias, spline_matrix

CPU = torch.device('cpu'), torch.float64


@pytest.mark.parametrize('grid', [(3, 2), (1, 4)])
@pytest.mark.parametrize('prefix', [0, 1, 3])
@pytest.mark.parametrize('with_cls_token', [True, False])
def test_rows_of_pairs(grid, prefix, with_cls_token):
    height, width = grid
    table = torch.randn((2 * height - 1) * (2 * width - 1) + 3 * with_cls_token, 4)
    bias = relative_position_bias(table, grid, grid, prefix, with_cls_token)
    tokens = prefix + height * width
    assert bias.shape == (4, tokens, tokens)
    special = table[-3:] if with_cls_token else torch.zeros(3, 4)
    for i in range(tokens):
        for j in range(tokens):
            if i < prefix or j < prefix:
                expected = special[0 if j >= prefix else 1 if i >= prefix else 2]
            else:
                (y, x), (v, u) = divmod(i - prefix, width), divmod(j - prefix, width)
                expected = table[(y - v + height - 1) * (2 * width - 1) + x - u + width - 1]
            assert torch.equal(bias[:, i, j], expected)


def official_coordinates(source, target):
    """BEiT's search for the factor and its coordinates, for sides of tables."""

    def total(factor, count):
        return sum(factor**i for i in range(count))

    left, right = 1.01, 1.5
    factor = (left + right) / 2
    while right - left > 1e-6:
        factor = (left + right) / 2
        if total(factor, source // 2) > target // 2:
            right = factor
        else:
            left = factor
    distances = [total(factor, i + 1) for i in range(source // 2)]
    return np.array([*[-d for d in reversed(distances)], 0.0, *distances]), np.arange(target) - target // 2


@pytest.mark.parametrize(('source', 'target'), [(27, 63), (27, 127), (27, 13), (63, 27), (7, 9), (5, 41)])
def test_resized_as_beit_does(source, target):
    interpolate = pytest.importorskip('scipy.interpolate')
    known, wanted = official_coordinates(source, target)
    table = torch.randn(source * source, 3, dtype=torch.float64)
    resized = resize_bias_table(table, ((source + 1) // 2,) * 2, ((target + 1) // 2,) * 2)
    for head in range(3):
        spline = interpolate.RectBivariateSpline(known, known, table[:, head].reshape(source, source).numpy())
        actual = resized[:, head].reshape(target, target).numpy()
        np.testing.assert_allclose(actual, spline(wanted, wanted), atol=1e-9)


@pytest.mark.parametrize(('source', 'target'), [((4, 3), (6, 3)), ((1, 2), (3, 5)), ((2, 3), (1, 1))])
def test_each_axis_for_itself(source, target):
    table = torch.randn((2 * source[0] - 1) * (2 * source[1] - 1), 2, dtype=torch.float64)
    rows, columns = (spline_matrix(2 * old - 1, 2 * new - 1, *CPU) for old, new in zip(source, target))
    maps = table.unflatten(0, (2 * source[0] - 1, 2 * source[1] - 1))
    expected = torch.einsum('ya,xb,abh->yxh', rows, columns, maps).flatten(0, 1)
    torch.testing.assert_close(resize_bias_table(table, source, target), expected)


def test_a_constant_stays_and_so_does_the_centre():
    for source, target in ((27, 63), (27, 13), (3, 9), (1, 5)):
        matrix = spline_matrix(source, target, *CPU)
        torch.testing.assert_close(matrix.sum(dim=1), torch.ones(target, dtype=torch.float64))
        centre = torch.zeros(source, dtype=torch.float64)
        centre[source // 2] = 1.0
        torch.testing.assert_close(matrix[target // 2], centre)


def test_the_grid_of_the_table_is_exact():
    bias = RelativePositionBias(2, (3, 3), with_cls_token=True)
    torch.nn.init.normal_(bias.relative_position_bias_table)
    with torch.autocast('cpu', torch.bfloat16):
        found = bias((3, 3))
    assert set(found.flatten().tolist()) <= set(bias.relative_position_bias_table[:-3].flatten().tolist())


def test_gradients_of_a_resized_table():
    table = torch.randn(25 + 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: relative_position_bias(t, (3, 3), (4, 2), 1, True), (table,))


def test_16_bits_are_resized_in_float32():
    table = torch.randn(25, 2).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        resized = resize_bias_table(table, (3, 3), (5, 5))
    assert torch.equal(resized, resize_bias_table(table.float(), (3, 3), (5, 5)).bfloat16())


def test_operator():
    torch.library.opcheck(spline_matrix, (7, 13, *CPU))
    first = spline_matrix(7, 13, *CPU)
    first.zero_()
    assert spline_matrix(7, 13, *CPU).any()


def test_a_table_with_the_rows_of_the_class_token_is_an_error():
    with pytest.raises(ValueError, match=r'28 rows, a grid of 3 x 3 has 25: remove the rows of the class token'):
        resize_bias_table(torch.zeros(28, 2), (3, 3), (4, 4))
