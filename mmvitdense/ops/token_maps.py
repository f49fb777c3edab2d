"""Maps in the order of tokens on a CPU: depth-wise convolutions of all levels at once, and sums of maps that are wanted
channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from . import backends
from .inference_layer import InferenceLayer
from .linear_layer import is_unwatched
from .recording import is_trained, runs_here
from .schemas import OPS

Grids = Sequence[tuple[int, int]]


class _Levels(Protocol):
    grids: Grids


def has_token_maps() -> bool:
    """Whether the kernels of this file are compiled, which a first call does."""
    return backends.chosen() != 'reference' and _found()


def _check_kernels() -> None:
    if not has_token_maps():
        raise RuntimeError('maps in the order of tokens have no kernels here: ask has_token_maps first')


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
        RuntimeError: There is no kernel, see `has_token_maps`.
        ValueError: Shapes do not fit.
    """
    _check_kernels()
    return OPS.depthwise_tokens(tokens, _flat(grids), list(weights), list(biases), gelus)


def can_convolve(conv: nn.Module) -> bool:
    """Whether a layer is a depth-wise convolution that keeps the size and nothing else, as these functions do."""
    return (
        type(conv) is nn.Conv2d
        and conv.groups == conv.in_channels == conv.out_channels
        and conv.kernel_size[0] == conv.kernel_size[1]
        and conv.kernel_size[0] % 2 == 1
        and conv.padding == (conv.kernel_size[0] // 2,) * 2
        and conv.stride == conv.dilation == (1, 1)
        and conv.padding_mode == 'zeros'
        and conv.bias is not None
        and conv.weight.is_cpu
        and is_unwatched(conv)
        and has_token_maps()
    )


def can_convolve_here(convs: Sequence[nn.Module], tokens: Tensor) -> bool:
    """Whether `convolve_levels` computes what calling the layers would."""
    tensors = [tokens, *(tensor for conv in convs for tensor in (conv.weight, conv.bias) if tensor is not None)]
    known = all(tensor.dtype == torch.float32 for tensor in tensors) and runs_here(*tensors)
    return known and all(map(can_convolve, convs))


def convolve_levels(convs: Sequence[nn.Conv2d], tokens: Tensor, grids: Grids) -> Tensor:
    """`depthwise_tokens` by the weights of layers, with gradients, which are not differentiable themselves.

    Args:
        convs: Of each level those of ranges of its channels, or one for all, see `can_convolve_here`.
        tokens: B x N x C.
        grids: (h, w) of the levels.

    Returns:
        B x N x C.
    """
    return _Depthwise.apply(tokens, grids, *(tensor for conv in convs for tensor in (conv.weight, conv.bias)))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(tokens: Tensor, grids: Grids, *parameters: Tensor) -> Tensor:
        weights = [_by_place(weight) for weight in parameters[::2]]
        return _convolve(tokens, grids, weights, list(parameters[1::2]))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        tokens, ctx.grids, *parameters = inputs
        ctx.save_for_backward(tokens, *parameters[::2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple:
        tokens, *weights = ctx.saved_tensors
        for_tokens = None
        if ctx.needs_input_grad[0]:
            zeros = [weight.new_zeros(len(weight)) for weight in weights]
            for_tokens = _convolve(grad, ctx.grids, [_by_place(weight.flip(2, 3)) for weight in weights], zeros)
        found: list[Tensor | None] = [None] * (2 * len(weights))
        if any(ctx.needs_input_grad[2:]):
            groups = max(1, len(weights) // len(ctx.grids))
            sides, channels = zip(*((weight.shape[-1], len(weight)) for weight in weights[:groups]))
            parts = OPS.depthwise_tokens_gradients(tokens, grad, _flat(ctx.grids), sides, channels)
            if len(weights) == 1:
                parts = [torch.stack(parts).sum(0)]
            for i, (part, weight) in enumerate(zip(parts, weights)):
                found[2 * i : 2 * i + 2] = part[:-1].t().reshape(weight.shape), part[-1]
        return for_tokens, None, *found


def _convolve(tokens: Tensor, grids: Grids, weights: list[Tensor], biases: list[Tensor], gelus: int = 0) -> Tensor:
    """By weights for each level, or one for all."""
    repeats = len(grids) if len(weights) == 1 else 1
    return depthwise_tokens(tokens, grids, weights * repeats, biases * repeats, gelus)


def _by_place(weight: Tensor) -> Tensor:
    """Weights of a depth-wise convolution, C x 1 x side x side, as the kernels read them: side x side x C."""
    return weight[:, 0].permute(1, 2, 0).contiguous()


def _flat(grids: Grids) -> list[int]:
    return [side for grid in grids for side in grid]


class DepthwiseTokens(InferenceLayer):
    """`depthwise_tokens` by given convolutions, in inference alone.

    Args:
        convs: Of each level the convolutions of ranges of its channels, see `can_convolve`; one for all levels.
        gelus: How many times GELU follows.
    """

    dtype = torch.float32

    def __init__(self, convs: Sequence[Sequence[nn.Conv2d]], gelus: int):
        super().__init__()
        self.gelus = gelus
        self._weights = [_by_place(conv.weight.detach().float()) for level in convs for conv in level]
        self._biases = [conv.bias.detach().float().clone() for level in convs for conv in level]
        self.eval()

    def forward(self, tokens: Tensor, levels: _Levels) -> Tensor:
        """Map B x N x C, made of `levels`, to the same shape.

        Raises:
            RuntimeError: More is asked than the inference of a CPU.
        """
        self.check(tokens)
        tokens = tokens if tokens.dtype in (torch.float32, torch.bfloat16) else tokens.float()
        return _convolve(tokens, levels.grids, self._weights, self._biases, self.gelus)

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
        RuntimeError: There is no kernel, see `has_token_maps`.
        ValueError: Shapes do not fit.
    """
    _check_kernels()
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
