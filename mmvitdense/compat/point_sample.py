"""mmcv's sampling of maps at points where deterministic algorithms are asked for on a GPU.

`F.grid_sample`, by which mmcv samples, has no deterministic backward pass on a GPU: the losses of Mask2Former and of
its kind would end a run at its first step. Our operator has one, and with one level, head and point it is the same
function.
"""

import functools
from types import ModuleType
from typing import Any

from .import_hooks import after_import

MODULE = 'mmcv.ops.point_sample'


def register() -> None:
    after_import(MODULE, _sample_deterministically)


def _sample_deterministically(module: ModuleType) -> None:
    import torch

    sample = module.point_sample

    @functools.wraps(sample)
    def point_sample(input: Any, points: Any, align_corners: bool = False, **options: Any) -> Any:
        other = align_corners or options or points.dim() != 3
        if other or not (input.is_cuda and input.requires_grad and torch.are_deterministic_algorithms_enabled()):
            return sample(input, points, align_corners, **options)
        return sampled(input, points)

    module.point_sample = point_sample


def sampled(input: Any, points: Any) -> Any:
    """Values of maps, N x C x H x W, at points, N x P x 2 with (x, y) in [0, 1]: N x C x P."""
    import torch

    from mmvitdense import ops

    value = input.flatten(2).transpose(1, 2).unsqueeze(2)
    # Coordinates stay out of 16 bits.
    locations = points[:, :, None, None, None].to(torch.promote_types(input.dtype, torch.float32))
    return ops.ms_deform_attn(value, [tuple(input.shape[2:])], locations, locations.new_ones(locations.shape[:-1])).mT
