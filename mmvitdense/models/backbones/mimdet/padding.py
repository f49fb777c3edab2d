"""Which part of a padded batch is image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def inside_images(
    image_sizes: Sequence[tuple[int, int]] | Tensor,
    batch: int,
    grid: tuple[int, int],
    stride: int,
    device: torch.device,
) -> Tensor:
    """Mark the positions of a map that see at least one pixel of their image.

    Args:
        image_sizes: Height and width of each image in pixels, before it was padded at the bottom and on the right.
        batch: Number of images.
        grid: Height and width of the map.
        stride: Pixels from one position to the next.
        device: Where the result is wanted.

    Returns:
        batch x h x w, true inside.

    Raises:
        ValueError: There is not one size for each image.
    """
    sizes = torch.as_tensor(image_sizes, device=device)
    if tuple(sizes.shape) != (batch, 2):
        raise ValueError(
            f'image_sizes must be one (height, width) for each of the {batch} images, got the shape '
            f'{tuple(sizes.shape)}'
        )
    last = (sizes + stride - 1) // stride
    rows, columns = (torch.arange(side, device=device) for side in grid)
    return (rows[:, None] < last[:, 0, None, None]) & (columns < last[:, 1, None, None])
