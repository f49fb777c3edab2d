"""A deformable 3x3 convolution in any type of number, also under autocast."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import deform_conv2d


def deformable_conv(maps: Tensor, offsets: Tensor, weights: Tensor, kernel: Tensor) -> Tensor:
    """Convolve values sampled at moved places, each weighted (arXiv 1811.11168).

    torchvision has no kernel for 16 bits on a CPU and none for bfloat16 on a GPU, and under autocast its arguments come
    in several types: it is computed in float32, in float64 where `maps` have that.

    Args:
        maps: B x C x h x w.
        offsets: B x 18 x h x w, (y, x) of each of the nine points, in pixels.
        weights: B x 9 x h x w.
        kernel: C_out x C x 3 x 3.

    Returns:
        B x C_out x h x w, in the type of `maps`.
    """
    dtype = torch.promote_types(maps.dtype, torch.float32)
    given = [value.to(dtype) for value in (maps, offsets, kernel)]
    return deform_conv2d(*given, padding=1, mask=weights.to(dtype)).to(maps.dtype)
