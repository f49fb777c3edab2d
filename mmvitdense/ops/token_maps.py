"""Maps in the order of tokens on a CPU: depth-wise convolutions of all levels at once, and sums of maps that are wanted
channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from . import backends
from .inference_layer import InferenceLayer
from .recording import is_trained, runs_here
from .schemas import OPS

Grids = Sequence[tuple[int, int]]


class _Levels(Protocol):
    grids: Grids


def has_token_maps() -> bool:
    """Whether the kernels of this file are compiled, which a first call does."""
    return backends.chosen() != 'reference' and _found()


@cache
def _found() -> bool:
    return backends.use_compiled(torch.device('cpu'))


def depthwise_tokens(
    tokens: Tensor, grids: Grids, weights: Sequence[Tensor], biases: Sequence[Tensor], gelus: int = 0
) -> Tensor:
    """Depth-wise convolutions that keep the size, of each level of a sequence. Sums are in float32. It has no gradient.

    Args:
        tokens: B x N x C in float32 or bfloat16 on a CPU, level after level, each row by row.
        grids: (h, w) of the levels.
        weights: side x side x channels in float32, an odd side: for each level one or more, whose channels follow each
            other and are C together.
        biases: channels in float32, one for each weight.
        gelus: How many times GELU is applied to the result.

    Returns:
        The shape and type of `tokens`.

    Raises:
        ValueError: Shapes do not fit.
    """
    flat = [side for grid in grids for side in grid]
    return OPS.depthwise_tokens(tokens, flat, list(weights), list(biases), gelus)


def can_convolve(conv: nn.Module) -> bool:
    """Whether a layer is a depth-wise convolution that keeps the size, which `DepthwiseTokens` may do."""
    return (
        type(conv) is nn.Conv2d
        and conv.groups == conv.in_channels == conv.out_channels
        and conv.kernel_size[0] == conv.kernel_size[1]
        and conv.padding == (conv.kernel_size[0] // 2,) * 2
        and conv.kernel_size[0] % 2 == 1
        and conv.stride == conv.dilation == (1, 1)
        and conv.padding_mode == 'zeros'
        and conv.weight.is_cpu
        and has_token_maps()
    )


class DepthwiseTokens(InferenceLayer):
    """`depthwise_tokens` by given convolutions, in inference alone.

    Args:
        convs: Of each level the convolutions of ranges of its channels, see `can_convolve`; one for all levels.
        gelus: How many times GELU follows.
    """

    dtype = torch.float32

    def __init__(self, convs: Sequence[Sequence[nn.Conv2d]], gelus: int):
        super().__init__()
        self.gelus, self.shared = gelus, len(convs) == 1
        flat = [conv for level in convs for conv in level]
        self._weights = [conv.weight.detach()[:, 0].permute(1, 2, 0).float().contiguous() for conv in flat]
        self._biases = [
            torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach().float().clone() for conv in flat
        ]
        self.eval()

    def forward(self, tokens: Tensor, levels: _Levels) -> Tensor:
        """Map B x N x C, made of `levels`, to the same shape.

        Raises:
            RuntimeError: More is asked than the inference of a CPU.
        """
        self.check(tokens)
        tokens = tokens if tokens.dtype in (torch.float32, torch.bfloat16) else tokens.float()
        repeats = len(levels.grids) if self.shared else 1
        return depthwise_tokens(tokens, levels.grids, self._weights * repeats, self._biases * repeats, self.gelus)

    def extra_repr(self) -> str:
        """What torch prints of the layer."""
        return f'sides={[len(weight) for weight in self._weights]}, gelus={self.gelus}'


def sum_maps(
    maps: Sequence[Tensor], small: Tensor | None = None, gain: Tensor | None = None, shift: Tensor | None = None
) -> Tensor:
    """The sum of maps whose memory is "channels last", contiguous, in one pass. It has no gradient.

    Args:
        maps: One to three, B x C x H x W in float32 on a CPU.
        small: B x C x h x w, resized bilinearly (without aligned corners) and added.
        gain: C; what the sum is multiplied by.
        shift: C; what is added then.

    Returns:
        B x C x H x W.

    Raises:
        ValueError: Shapes do not fit.
    """
    return OPS.sum_maps(list(maps), small, gain, shift)


def can_sum(*tensors: Tensor) -> bool:
    """Whether `sum_maps` computes what torch's operators would."""
    plain = not is_trained(*tensors) and all(tensor.dtype == torch.float32 for tensor in tensors)
    return plain and runs_here(*tensors) and has_token_maps()


def channels_first(maps: Tensor) -> Tensor:
    """Maps, B x C x H x W, contiguous; their gradient has the layout of their memory on a CPU."""
    last = maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()
    known = maps.dtype == torch.float32 and is_trained(maps) and runs_here(maps)
    return _ChannelsFirst.apply(maps) if last and known and has_token_maps() else maps.contiguous()


class _ChannelsFirst(torch.autograd.Function):
    """A copy from "channels last", in blocks, for which torch takes three times as long, in both directions."""

    generate_vmap_rule = True

    @staticmethod
    def forward(maps: Tensor) -> Tensor:
        return OPS.sum_maps([maps], None, None, None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        if not grad.is_contiguous() or grad.shape[1] % 16:
            return grad.contiguous(memory_format=torch.channels_last)
        # The other way round, places are the channels, and rows of 16 channels the places.
        rows = grad.flatten(2).unflatten(1, (-1, 16)).permute(0, 3, 1, 2)
        back = OPS.sum_maps([rows], None, None, None)
        return back.flatten(2).unflatten(1, grad.shape[2:]).permute(0, 3, 1, 2)
