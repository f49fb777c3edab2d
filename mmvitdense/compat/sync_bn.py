"""The functions of `mmcv._ext` behind `mmcv.ops.SyncBatchNorm` (`MMSyncBN` in configs).

Input is N x C x L. mmcv reduces mean and variance over the processes between these calls.
"""

from torch import Tensor


def sync_bn_forward_mean(input: Tensor, mean: Tensor) -> None:
    """Fill `mean` (C,)."""
    mean.copy_(input.to(mean.dtype).mean(dim=(0, 2)))


def sync_bn_forward_var(input: Tensor, mean: Tensor, var: Tensor) -> None:
    """Fill `var` (C,), the mean squared distance from `mean`."""
    var.copy_((input.to(var.dtype) - mean[:, None]).square().mean(dim=(0, 2)))


def sync_bn_forward_output(
    input: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    norm: Tensor,
    std: Tensor,
    output: Tensor,
    eps: float,
    momentum: float | Tensor,
    group_size: int,
) -> None:
    """Fill `norm`, `std` and `output`, and move the running statistics towards `mean` and the unbiased variance."""
    std.copy_((var + eps).sqrt())
    norm.copy_((input.to(norm.dtype) - mean[:, None]) / std[:, None])
    output.copy_(norm if weight is None else norm * weight[:, None] + bias[:, None])
    if running_mean is not None:
        count = input.size(0) * input.size(2) * group_size
        unbiased = var * (count / (count - 1)) if count > 1 else var
        running_mean.add_(momentum * (mean - running_mean))
        running_var.add_(momentum * (unbiased - running_var))


def sync_bn_backward_param(grad_output: Tensor, norm: Tensor, grad_weight: Tensor, grad_bias: Tensor) -> None:
    """Fill the gradients (C,) of this process."""
    grad = grad_output.to(norm.dtype)
    grad_weight.copy_((grad * norm).sum(dim=(0, 2)))
    grad_bias.copy_(grad.sum(dim=(0, 2)))


def sync_bn_backward_data(
    grad_output: Tensor,
    weight: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    norm: Tensor,
    std: Tensor,
    grad_input: Tensor,
) -> None:
    """Fill `grad_input`; `grad_weight` and `grad_bias` are means over the processes."""
    count = grad_output.size(0) * grad_output.size(2)
    shared = (grad_weight[:, None] * norm + grad_bias[:, None]) / count
    grad_input.copy_((grad_output.to(norm.dtype) - shared) * (weight / std)[:, None])
