"""Which positions of a map see their image, pixel by pixel."""

import pytest
import torch

from mmvitdense.models.backbones.mimdet import inside_images


@pytest.mark.parametrize('stride', [1, 2, 16])
def test_every_position(stride):
    sizes = [(32, 48), (17, 1), (1, 33)]
    grid = (-(-32 // stride), -(-48 // stride))
    inside = inside_images(sizes, 3, grid, stride, torch.device('cpu'))
    for index, (height, width) in enumerate(sizes):
        for row in range(grid[0]):
            for column in range(grid[1]):
                assert inside[index, row, column] == (row * stride < height and column * stride < width)


@pytest.mark.parametrize('sizes', [[(32, 32)], [(32, 32, 3)] * 2, torch.ones(2, 1)])
def test_one_size_for_each_image(sizes):
    with pytest.raises(ValueError, match=r'one \(height, width\) for each of the 2 images'):
        inside_images(sizes, 2, (2, 2), 16, torch.device('cpu'))
