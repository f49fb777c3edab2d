"""Deformable convolution, version 1 and 2: the functions of `mmcv._ext` behind `mmcv.ops.deform_conv2d` and
`modulated_deform_conv2d`, by torchvision's kernels.

Input is B x C x H x W, weight C_out x C/groups x kh x kw, offset B x (2 * deform_groups * kh * kw) x H_out x W_out,
mask half as many channels. Both libraries order the offsets alike: per deform group and kernel position, y before x.
The arguments `columns`, `ones`, and in `options` the kernel size and `im2col_step`, serve mmcv's own kernels only.
"""

from typing import Any, NamedTuple

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from .precision import widen


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
    gradients = _backward(grad_output, input, weight, offset, mask, _Geometry.of_version_2(options))
    for target, gradient in zip((grad_input, grad_weight, grad_offset, grad_mask), gradients):
        target.copy_(gradient)
    if with_bias:
        grad_bias.copy_(gradients[4])


def _forward(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None, geometry: _Geometry
) -> Tensor:
    use_mask = mask is not None
    input, weight, offset, mask, bias = widen(input, weight, offset, *_fill(input, weight, mask, bias))
    return torch.ops.torchvision.deform_conv2d(input, weight, offset, mask, bias, *geometry, use_mask)


def _backward(
    grad_output: Tensor, input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, geometry: _Geometry
) -> tuple[Tensor, ...]:
    """Gradients of input, weight, offset, mask and bias."""
    use_mask = mask is not None
    tensors = widen(grad_output, input, weight, offset, *_fill(input, weight, mask, None))
    return torch.ops.torchvision._deform_conv2d_backward(*tensors, *geometry, use_mask)


def _fill(input: Tensor, weight: Tensor, mask: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """torchvision wants tensors where there is no mask or no bias."""
    if mask is None:
        mask = input.new_zeros(input.size(0), 1)
    return mask, weight.new_zeros(weight.size(0)) if bias is None else bias
