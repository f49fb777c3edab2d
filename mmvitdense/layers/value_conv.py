"""Local positions of attention: a convolution of the values (ResFormer, arXiv 2212.00776)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ValueConv(nn.Conv2d):
    """A depth-wise convolution of the map of values, one kernel for all heads (`models.py:get_local_pos_embed`).

    Zero at the start. Its sum with the attended values goes into the output projection.

    Args:
        head_dims: Channels of a head.
        kernel_size: Side of the kernel, odd.
    """

    def __init__(self, head_dims: int, kernel_size: int = 3):
        if isinstance(kernel_size, bool) or not isinstance(kernel_size, int) or kernel_size < 1 or not kernel_size % 2:
            raise ValueError(f'value_conv must be the side of a kernel, an odd number, or 0, got {kernel_size!r}')
        super().__init__(head_dims, head_dims, kernel_size, padding=kernel_size // 2, groups=head_dims)

    def reset_parameters(self) -> None:
        """Start at zero."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, values: Tensor, prefix: int = 0) -> Tensor:
        """Convolve B x h x w x C, C the channels of all heads, into B x (prefix + h*w) x C; 0 at the prefix tokens."""
        head_dims = self.weight.shape[0]
        maps = values.unflatten(-1, (-1, head_dims)).permute(0, 3, 4, 1, 2)
        local = super().forward(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])
        return F.pad(local.permute(0, 3, 4, 1, 2).flatten(3).flatten(1, 2), (0, 0, prefix, 0))
