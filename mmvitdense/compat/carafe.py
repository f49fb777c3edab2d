"""Content-aware upsampling (CARAFE, Wang et al. 2019): the functions of `mmcv._ext` behind `mmcv.ops.carafe`.

Features are B x C x H x W, masks B x (groups * k * k) x sH x sW, the output is B x C x sH x sW: each output value is
the sum of the k x k features around its source pixel, weighted by the mask of its group of channels. One kernel
position at a time, so that nothing k * k times as large as the output is held.
"""

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from .precision import widen


def carafe_naive_forward(
    features: Tensor, masks: Tensor, output: Tensor, kernel_size: int, group_size: int, scale_factor: int
) -> None:
    """Fill `output` (B, C, s*H, s*W)."""
    output.copy_(_reassemble(*widen(features, masks), kernel_size, group_size, scale_factor))


def carafe_naive_backward(
    grad_output: Tensor,
    features: Tensor,
    masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Fill `grad_input` (as features) and `grad_masks` (as masks)."""
    grad, features, masks = widen(grad_output, features, masks)
    grad = _split(grad, group_size, scale_factor)
    weights = _split(masks, group_size, scale_factor)
    pad = kernel_size // 2
    padded = _pad(features, group_size, pad)
    total = padded.new_zeros(padded.shape)
    of_masks = weights.new_zeros(weights.shape)
    for k, window in _windows(kernel_size, features.shape[2:]):
        total[window] += (grad * weights[:, :, k, None]).sum(dim=(4, 6))
        of_masks[:, :, k] = (grad * padded[window][:, :, :, :, None, :, None]).sum(dim=2)
    height, width = features.shape[2:]
    grad_input.copy_(total[..., pad : pad + height, pad : pad + width].flatten(1, 2))
    grad_masks.copy_(of_masks.reshape(masks.shape))


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Fill `output`, and `rfeatures`, which mmcv hands to the backward pass in the place of the features."""
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)


def carafe_backward(
    grad_output: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rgrad_output: Tensor,
    rgrad_input_hs: Tensor,
    rgrad_input: Tensor,
    rgrad_masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Fill `grad_input` and `grad_masks`; the tensors named `rgrad_*` are scratch of mmcv's kernel."""
    carafe_naive_backward(grad_output, rfeatures, masks, grad_input, grad_masks, kernel_size, group_size, scale_factor)


def _reassemble(features: Tensor, masks: Tensor, kernel_size: int, groups: int, scale: int) -> Tensor:
    weights = _split(masks, groups, scale)
    padded = _pad(features, groups, kernel_size // 2)
    height, width = features.shape[2:]
    batch, channels = padded.shape[0], features.size(1)
    output = padded.new_zeros(*padded.shape[:3], height, scale, width, scale)
    for k, window in _windows(kernel_size, (height, width)):
        output += padded[window][:, :, :, :, None, :, None] * weights[:, :, k, None]
    return output.view(batch, channels, height * scale, width * scale)


def _split(tensor: Tensor, groups: int, scale: int) -> Tensor:
    """B x (groups * n) x sH x sW -> B x groups x n x H x s x W x s."""
    batch, channels, height, width = tensor.shape
    return tensor.view(batch, groups, channels // groups, height // scale, scale, width // scale, scale)


def _pad(features: Tensor, groups: int, pad: int) -> Tensor:
    return F.pad(features, (pad, pad, pad, pad)).unflatten(1, (groups, -1))


def _windows(kernel_size: int, size: tuple[int, int]) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Each kernel position with the part of the padded features that lies under it."""
    for i in range(kernel_size):
        for j in range(kernel_size):
            yield i * kernel_size + j, (..., slice(i, i + size[0]), slice(j, j + size[1]))
