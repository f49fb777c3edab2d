"""Transposed convolutions that enlarge a map by a whole factor."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.ops import linear
from mmvitdense.ops.recording import is_trained, runs_here


class UpConv2d(nn.ConvTranspose2d):
    """A transposed convolution whose kernel is as wide as its step, so that no two of its patches overlap.

    Each place becomes `factor` x `factor` places by one linear layer. Its gradients are matrix products, by which they
    are computed on a CPU: torch's own kernel takes about three times as long there.

    Args:
        in_channels: Channels of the map.
        out_channels: Channels of the larger one.
        factor: How many times as high and as wide.
    """

    def __init__(self, in_channels: int, out_channels: int, factor: int = 2):
        super().__init__(in_channels, out_channels, factor, stride=factor)

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x in_channels x h x w to B x out_channels x factor*h x factor*w."""
        tensors = maps, self.weight, self.bias
        if maps.dim() == 4 and is_trained(*tensors) and runs_here(*tensors):
            return _UpConv.apply(*tensors)
        return super().forward(maps)


class _UpConv(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(maps, weight, bias):
        return F.conv_transpose2d(maps, weight, bias, stride=weight.shape[-1])

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx, grad):
        maps, weight = ctx.saved_tensors
        factor = weight.shape[-1]
        # B x h x w x (factor * factor * out_channels), for which the weight is out x in of a linear layer.
        grad = grad.permute(0, 2, 3, 1).unflatten(2, (-1, factor)).unflatten(1, (-1, factor))
        grad = grad.transpose(2, 3).flatten(3)
        for_maps = for_weight = for_bias = None
        if ctx.needs_input_grad[0]:
            for_maps = linear(grad, weight.permute(0, 2, 3, 1).flatten(1)).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            rows = maps.permute(0, 2, 3, 1).flatten(0, 2)
            for_weight = rows.t() @ grad.flatten(0, 2)
            for_weight = for_weight.unflatten(1, (factor, factor, -1)).permute(0, 3, 1, 2).contiguous()
        if ctx.needs_input_grad[2]:
            for_bias = grad.unflatten(3, (factor * factor, -1)).sum((0, 1, 2, 3))
        return for_maps, for_weight, for_bias
