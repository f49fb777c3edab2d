"""The parameters of a model by name, and layers that take them, so that another formulation runs on the same ones."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers.norm import with_gradient_layout


class Parameters:
    """Parameters and buffers below a prefix.

    Args:
        tensors: {full name: tensor}.
        training: Whether batch norms take the statistics of the batch.
        prefix: What the names looked up are prefixed by, '' or ending in a dot.
    """

    def __init__(self, tensors: dict[str, Tensor], training: bool, prefix: str = ''):
        self.tensors, self.training, self.prefix = tensors, training, prefix

    @classmethod
    def of(cls, module: nn.Module) -> Parameters:
        """Those of a module, which stay its own."""
        return cls({**dict(module.named_parameters()), **dict(module.named_buffers())}, module.training)

    def at(self, name: str) -> Parameters:
        """Those of a child."""
        return Parameters(self.tensors, self.training, f'{self.prefix}{name}.')

    def get(self, name: str) -> Tensor | None:
        """A parameter, None where there is none of that name."""
        return self.tensors.get(self.prefix + name)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[self.prefix + name]


def linear(params: Parameters, tokens: Tensor) -> Tensor:
    """`nn.Linear`."""
    return F.linear(tokens, params['weight'], params.get('bias'))


def layer_norm(params: Parameters, tokens: Tensor, eps: float = 1e-6) -> Tensor:
    """`nn.LayerNorm` over the last axis."""
    return F.layer_norm(tokens, tokens.shape[-1:], params['weight'], params['bias'], eps)


def conv(params: Parameters, maps: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    """`nn.Conv2d` that keeps the size for stride 1."""
    weight = params['weight']
    return F.conv2d(maps, weight, params.get('bias'), stride, weight.shape[-1] // 2, groups=groups)


def up_conv(params: Parameters, maps: Tensor) -> Tensor:
    """`nn.ConvTranspose2d` by 2."""
    return F.conv_transpose2d(maps, params['weight'], params['bias'], stride=2)


def batch_norm(params: Parameters, maps: Tensor) -> Tensor:
    """`nn.BatchNorm2d` with torch's momentum and epsilon, and right gradients on a CPU."""
    statistics = params['running_mean'], params['running_var']
    normed = F.batch_norm(maps, *statistics, params['weight'], params['bias'], params.training, 0.1, 1e-5)
    return with_gradient_layout(normed)
