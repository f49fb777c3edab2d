"""From the pixels of an image to what a backbone takes, inside of an exported file."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Pixels(nn.Module):
    """Normalise images as mmengine's and mmseg's preprocessors do, and set what is beside the image to one value.

    Args:
        mean, std: One for each channel, or None where the preprocessor does not normalise.
        swap: Whether the order of the channels is turned round, from BGR to RGB.
        padding: Value of each channel beside the image, after the normalisation.
    """

    def __init__(
        self, mean: Tensor | None, std: Tensor | None, swap: bool, padding: float | Sequence[float] | Tensor = 0.0
    ):
        super().__init__()
        self.register_buffer('order', torch.tensor([2, 1, 0]) if swap else None)
        self.register_buffer('mean', None if mean is None else mean.detach().clone().reshape(-1, 1, 1))
        self.register_buffer('std', None if std is None else std.detach().clone().reshape(-1, 1, 1))
        self.register_buffer('padding', torch.as_tensor(padding, dtype=torch.float32).reshape(-1, 1, 1))

    def forward(self, image: Tensor, size: Tensor | None = None) -> Tensor:
        """Normalise.

        Args:
            image: B x C x H x W, values from 0 to 255 in the order that the config reads.
            size: B x 2, height and width of the part that is image, from the upper left; None where all of it is.

        Returns:
            B x C x H x W.
        """
        if self.order is not None:
            image = image.index_select(1, self.order)
        if self.mean is not None:
            image = (image - self.mean) / self.std
        if size is None:
            return image
        return torch.where(inside(size, *image.shape[-2:])[:, None], image, self.padding)


def inside(size: Tensor, height: int, width: int) -> Tensor:
    """Which pixels of B x height x width lie in the upper left rectangles of B x 2 `size`."""
    rows = torch.arange(height, device=size.device)[None, :, None] < size[:, 0, None, None]
    columns = torch.arange(width, device=size.device)[None, None, :] < size[:, 1, None, None]
    return rows & columns
