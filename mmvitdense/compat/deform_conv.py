"""Deformable convolution, version 1 and 2: the functions of `mmcv._ext` behind `mmcv.ops.deform_conv2d` and
`modulated_deform_conv2d`, by torchvision's kernels.

Input is B x C x H x W, weight C_out x C/groups x kh x kw, offset B x (2 * deform_groups * kh * kw) x H_out x W_out,
mask half as many channels. Both libraries order the offsets alike: per deform group and kernel position, y before x.
The arguments `columns`, `ones`, and in `options` the kernel size and `im2col_step`, serve mmcv's own kernels only.

A sampling point (y, x) counts if -1 < y < H and -1 < x < W; any other gives the value 0 and no gradient to anything.
torchvision agrees but for the offsets of points exactly on -1, to which it gives the slope towards the map. These are
no rare points: while the layer that predicts the offsets is still zero, as it is initialised, a padding of 1 puts the
whole upper and left border there. So every point that does not count is moved far out before its kernels see it.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from .precision import widen

_FAR_OUTSIDE = 1e6
"""An offset in pixels that leads out of every map."""


class _Geometry(NamedTuple):
    """The integer arguments of torchvision's operators, in their order."""

    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dilation_h: int
    dilation_w: int
    group: int
    deformable_group: int

    @classmethod
    def of_version_1(cls, options: dict[str, Any]) -> '_Geometry':
        names = ('dH', 'dW', 'padH', 'padW', 'dilationH', 'dilationW', 'group', 'deformable_group')
        return cls(*(options[name] for name in names))

    @classmethod
    def of_version_2(cls, options: dict[str, Any]) -> '_Geometry':
        return cls(*(options[name] for name in cls._fields))

    def unmoved(self, axis: int, kernel: torch.Size, offset: Tensor) -> Tensor:
        """Where the points lie that no offset moves: kernel size x output size of one axis, 0 for y and 1 for x."""
        stride, pad, dilation = self[axis : axis + 6 : 2]
        start = torch.arange(offset.size(2 + axis), device=offset.device) * stride - pad
        tap = torch.arange(kernel[axis], device=offset.device) * dilation
        return (tap[:, None] + start).to(offset)


def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, columns: Tensor, ones: Tensor, **options: Any
) -> None:
    """Fill `output` (B, C_out, H_out, W_out)."""
    output.copy_(_forward(input, weight, offset, None, None, _Geometry.of_version_1(options)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **options: Any,
) -> None:
    """Fill `grad_input` and `grad_offset`."""
    gradients = _backward(grad_output, input, weight, offset, None, _Geometry.of_version_1(options))
    grad_input.copy_(gradients[0])
    grad_offset.copy_(gradients[2])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    **options: Any,
) -> None:
    """Add `scale` times the gradient to `grad_weight`."""
    # The gradient of the weight does not depend on the weight.
    gradients = _backward(grad_output, input, grad_weight, offset, None, _Geometry.of_version_1(options))
    grad_weight.add_(gradients[1].to(grad_weight.dtype), alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    *,
    with_bias: bool,
    **options: Any,
) -> None:
    """Fill `output` (B, C_out, H_out, W_out)."""
    offset, mask = (_leading_part(tensor, output.shape[2:]) for tensor in (offset, mask))
    geometry = _Geometry.of_version_2(options)
    output.copy_(_forward(input, weight, offset, mask, bias if with_bias else None, geometry))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    *,
    with_bias: bool,
    **options: Any,
) -> None:
    """Fill the five gradients; `grad_bias` only `with_bias`."""
    offset, mask = (_leading_part(tensor, grad_output.shape[2:]) for tensor in (offset, mask))
    gradients = _backward(grad_output, input, weight, offset, mask, _Geometry.of_version_2(options))
    grad_input.copy_(gradients[0])
    grad_weight.copy_(gradients[1])
    for target, gradient in ((grad_offset, gradients[2]), (grad_mask, gradients[3])):
        target.copy_(F.pad(gradient.flatten(1), (0, target[0].numel() - gradient[0].numel())).view_as(target))
    if with_bias:
        grad_bias.copy_(gradients[4])


def _leading_part(tensor: Tensor, size: torch.Size) -> Tensor:
    """Offsets or masks for an output of `size` from a map that may be larger.

    mmcv reads as many numbers of each image as it needs from the start of its memory. DyHead hands in the offsets of
    a level twice as large, and its published weights were trained with what that gives.
    """
    if tensor.shape[2:] == size:
        return tensor
    needed = tensor.size(1) * size.numel()
    return tensor.flatten(1)[:, :needed].unflatten(1, (tensor.size(1), *size))


def _forward(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None, geometry: _Geometry
) -> Tensor:
    tensors = _prepare(input, weight, offset, mask, bias, geometry)
    return torch.ops.torchvision.deform_conv2d(*tensors, *geometry, mask is not None)


def _backward(
    grad_output: Tensor, input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, geometry: _Geometry
) -> tuple[Tensor, ...]:
    """Gradients of input, weight, offset, mask and bias."""
    tensors = _prepare(input, weight, offset, mask, None, geometry)
    (grad,) = widen(grad_output)
    return torch.ops.torchvision._deform_conv2d_backward(grad, *tensors, *geometry, mask is not None)


def _prepare(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None, geometry: _Geometry
) -> tuple[Tensor, ...]:
    """Input, weight, offset, mask and bias as torchvision wants them."""
    mask = input.new_zeros(input.size(0), 1) if mask is None else mask
    bias = weight.new_zeros(weight.size(0)) if bias is None else bias
    input, weight, offset, mask, bias = widen(input, weight, offset, mask, bias)
    return input, weight, _points_that_count(offset, input.shape[2:], weight.shape[2:], geometry), mask, bias


def _points_that_count(offset: Tensor, size: torch.Size, kernel: torch.Size, geometry: _Geometry) -> Tensor:
    """`offset` with every point moved far out that does not lie in the open range (-1, H) x (-1, W) of `size`.

    Those are also the points that are NaN, as in training before the gradient scaler has found its scale: there
    torchvision reads foreign memory.
    """
    if offset.size(1) % (2 * kernel.numel()) != 0:
        return offset  # torchvision says what is wrong
    pairs = offset.unflatten(1, (-1, *kernel, 2))
    y, x = pairs.unbind(4)
    y = y + geometry.unmoved(0, kernel, offset)[:, None, :, None]
    x = x + geometry.unmoved(1, kernel, offset)[:, None, :]
    inside = (y > -1) & (y < size[0]) & (x > -1) & (x < size[1])
    return torch.where(inside.unsqueeze(4), pairs, _FAR_OUTSIDE).flatten(1, 4)
