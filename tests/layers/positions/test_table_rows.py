"""Rows of tables against pairs of patches that are counted, and squares that are read off them."""

import pytest

from mmvitdense.layers.positions.table_rows import (
    CLASS_OFFSETS,
    CLASS_POSITIONS,
    axis_length,
    num_axis_offsets,
    num_offsets,
    num_positions,
    square_side,
    square_table,
)


@pytest.mark.parametrize('grid', [(1, 1), (2, 3), (5, 4)])
def test_rows_are_the_patches_and_their_offsets(grid):
    patches = [(y, x) for y in range(grid[0]) for x in range(grid[1])]
    assert num_positions(grid) == len(patches)
    assert num_offsets(grid) == len({(y - b, x - a) for y, x in patches for b, a in patches})
    assert num_axis_offsets(grid[0]) == len({y - b for y, _ in patches for b, _ in patches})
    assert axis_length(num_axis_offsets(grid[0])) == grid[0]


@pytest.mark.parametrize(('count', 'class_rows'), [(num_positions, CLASS_POSITIONS), (num_offsets, CLASS_OFFSETS)])
def test_squares_of_all_numbers_of_rows(count, class_rows):
    sides = {count((side, side)): side for side in range(1, 40)}
    for rows in range(-2, 1300):
        assert square_side(rows, count) == sides.get(rows)
        readings = [(sides[rows - extra], extra > 0) for extra in (0, class_rows) if rows - extra in sides]
        assert square_table(rows, count, class_rows) == next(iter(readings), None)


@pytest.mark.parametrize(
    ('rows', 'found'), [(196, (14, False)), (197, (14, True)), (198, None), (240, None), (2, (1, True))]
)
def test_published_tables_of_positions(rows, found):
    assert square_table(rows) == found


@pytest.mark.parametrize(('rows', 'found'), [(729, (14, False)), (732, (14, True)), (731, None), (4, (1, True))])
def test_published_tables_of_biases(rows, found):
    assert square_table(rows, num_offsets, CLASS_OFFSETS) == found
