"""The number types and ranges in which the stand-in computes."""

import torch
from torch import Tensor


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """float64 for float64, float32 for everything else.

    Box coordinates and sampling positions lose half a pixel and more in 16 bits, and several CPU kernels do not take
    16-bit types, so the ops compute in 32 bits and round their result once.
    """
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def widen(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All tensors, contiguous, in the compute type of the first."""
    dtype = compute_dtype(tensors[0])
    return tuple(tensor.to(dtype).contiguous() for tensor in tensors)


def finite_regions(rois: Tensor) -> Tensor:
    """`rois` (N, 5) with every region that has a NaN or an infinity moved, as a point, out of all maps.

    Regions of a diverging model would make the kernels read foreign memory or sample without end.
    """
    nowhere = rois.new_tensor([0, -1e4, -1e4, -1e4, -1e4])
    return torch.where(rois.isfinite().all(dim=1, keepdim=True), rois, nowhere)
