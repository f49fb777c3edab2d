"""Focal loss (Lin et al. 2017): the functions of `mmcv._ext` behind `mmcv.ops.sigmoid_focal_loss` and
`softmax_focal_loss`.

`input` is N x C, `target` N class numbers, `weight` C class weights or empty. A target outside 0..C-1 is background:
all C sigmoids are negatives, the softmax loss is 0; it has no class weight.

Logarithms come from the logits. A compiled mmcv takes them from the rounded probability and cuts them at -87, which
overstates the loss of confident mistakes beyond a logit of 17 (the gradients agree).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import widen


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill `output` (N, C) with the loss of each class of each row."""
    logits, weight = widen(input, weight)
    positive = logits.sigmoid()
    negative = (-logits).sigmoid()
    loss = torch.where(
        _is_target(target, logits.size(1)),
        -alpha * negative**gamma * F.logsigmoid(logits),
        (alpha - 1) * positive**gamma * F.logsigmoid(-logits),
    )
    output.copy_(loss * _target_weight(target, weight)[:, None])


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fill `grad_input` (N, C) with the derivative of each loss by its own logit."""
    logits, weight = widen(input, weight)
    positive = logits.sigmoid()
    negative = (-logits).sigmoid()
    slope = torch.where(
        _is_target(target, logits.size(1)),
        alpha * negative**gamma * (gamma * positive * F.logsigmoid(logits) - negative),
        (1 - alpha) * positive**gamma * (positive - gamma * negative * F.logsigmoid(-logits)),
    )
    grad_input.copy_(slope * _target_weight(target, weight)[:, None])


def softmax_focal_loss_forward(
    input_softmax: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill `output` (N,) from the softmax of the logits (N, C), which mmcv computes."""
    probability, weight = widen(input_softmax, weight)
    chosen = _target_probability(probability, target)
    loss = -alpha * (1 - chosen) ** gamma * _log(chosen)
    output.copy_(loss * _target_weight(target, weight) * _is_foreground(target, probability.size(1)))


def softmax_focal_loss_backward(
    input_softmax: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill `grad_input` (N, C) with the derivatives by the logits; `buff` (N,) is scratch of mmcv's kernel."""
    probability, weight = widen(input_softmax, weight)
    chosen = _target_probability(probability, target)
    slope = gamma * (1 - chosen) ** (gamma - 1) * chosen * _log(chosen) if gamma != 0 else 0
    slope = alpha * (slope - (1 - chosen) ** gamma)
    slope = slope * _target_weight(target, weight) * _is_foreground(target, probability.size(1))
    grad_input.copy_(slope[:, None] * (_is_target(target, probability.size(1)).to(probability) - probability))


def _is_target(target: Tensor, classes: int) -> Tensor:
    return target[:, None] == torch.arange(classes, device=target.device)


def _is_foreground(target: Tensor, classes: int) -> Tensor:
    return (target >= 0) & (target < classes)


def _target_probability(probability: Tensor, target: Tensor) -> Tensor:
    return probability.gather(1, target.clamp(0, probability.size(1) - 1)[:, None])[:, 0]


def _target_weight(target: Tensor, weight: Tensor) -> Tensor:
    """The weight (N,) of each row: that of its class, 1 without class weights and for background."""
    if weight.numel() == 0:
        return weight.new_ones(target.shape)
    return torch.where(
        _is_foreground(target, weight.numel()), weight[target.clamp(0, weight.numel() - 1)], weight.new_ones(())
    )


def _log(probability: Tensor) -> Tensor:
    return probability.clamp(min=torch.finfo(torch.float32).tiny).log()
