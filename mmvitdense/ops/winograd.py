"""3x3 convolutions with a quarter of the multiplications, for inference on a CPU: Winograd's F(4x4, 3x3).

Tiles of 4 x 4 pixels of the output are made from 6 x 6 of the input: both are transformed, and between lie 36 matrix
products, each of all tiles by a matrix of channels (Lavin and Gray 2016, arXiv 1509.09308). Weights take four times
their memory.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import backends
from .inference_layer import InferenceLayer
from .packed_linear import can_pack
from .product_choice import onednn_product
from .schemas import OPS

_POINTS = (0.75, 1.5)
"""Where polynomials are evaluated besides 0 and infinity, with both signs; the kernels have the same."""
_CHANNELS = 32
"""So many in and out at least are worth the transforms."""
_TILES = 24
"""So many at least are worth to read four times the weights."""
_AT_ONCE = 4 * 2**20
"""Numbers that are transformed at once, so that they stay in the caches."""
_ROWS = 256


def can_transform(conv: nn.Conv2d) -> bool:
    """Whether a convolution of 3 x 3 pixels in float32 can be a `WinogradConv2d`, and gains by it."""
    fits = (
        conv.kernel_size == (3, 3)
        and conv.stride == conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.padding in ((0, 0), (1, 1))
        and conv.padding_mode == 'zeros'
        and min(conv.in_channels, conv.out_channels) >= _CHANNELS
        and conv.weight.dtype == torch.float32
        and conv.weight.device.type == 'cpu'
    )
    return fits and backends.chosen() != 'reference' and _has_kernels()


@cache
def _has_kernels() -> bool:
    return backends.use_compiled(torch.device('cpu'))


class WinogradConv2d(InferenceLayer, nn.Conv2d):
    """A convolution of 3 x 3 pixels in float32, in inference alone, within 3e-6 of the norm of its result.

    Small maps are convolved by torch. The result has the layout of the maps that are given.

    Args:
        conv: The layer, see `can_transform`.
        relu: Whether negative results become zero.
    """

    dtype = torch.float32

    def __init__(self, conv: nn.Conv2d, relu: bool = False):
        nn.Module.__init__(self)
        self.__dict__.update({name: value for name, value in vars(conv).items() if not name.startswith('_')})
        self._reversed_padding_repeated_twice = conv._reversed_padding_repeated_twice
        self.weight, self.bias = conv.weight, conv.bias
        self.relu = relu
        self._pack()
        self.eval()

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x in_channels x H x W to B x out_channels x H x W, without padding two pixels less each way."""
        self.check(maps)
        padding = self.padding[0]
        height, width = (side + 2 * padding - 2 for side in maps.shape[-2:])
        rows, columns = -(-height // 4), -(-width // 4)
        known = _has_kernels() and maps.dim() == 4 and maps.dtype == torch.float32 and maps.shape[1] == self.in_channels
        if not known or min(height, width) < 1 or len(maps) * rows * columns < _TILES:
            out = self._conv_forward(maps, self.weight, self.bias)
            return out.relu_() if self.relu else out
        last = maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()
        layout = torch.channels_last if last else torch.contiguous_format
        maps = maps.contiguous(memory_format=layout)
        out = torch.empty((len(maps), self.out_channels, height, width), memory_format=layout)
        total = len(maps) * rows
        step = max(1, _AT_ONCE // (36 * (self.in_channels + self.out_channels)), _ROWS) // columns or 1
        for first in range(0, total, step):
            count = min(step, total - first)
            tiles = OPS.winograd_input(maps, padding, first, count)
            products = [self._multiply(some, weight) for some, weight in zip(tiles, self._weights)]
            OPS.winograd_output(products, self.bias, self.relu, first, count, out)
        return out

    def extra_repr(self) -> str:
        """What torch prints of the layer."""
        return f'{nn.Conv2d.extra_repr(self)}, relu={self.relu}'

    def _pack(self) -> None:
        weights = transformed(self.weight)
        self._packs = can_pack(torch.float32)
        if self._packs:
            weights = [torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS) for weight in weights]
        self._weights = list(weights)

    def _multiply(self, tiles: Tensor, weight: Tensor) -> Tensor:
        return onednn_product(tiles, weight, None) if self._packs else F.linear(tiles, weight)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which cannot hold oneDNN's layout."""
        return {name: value for name, value in self.__dict__.items() if name != '_weights'}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._pack()


def transformed(weight: Tensor) -> Tensor:
    """Weights of 3 x 3 pixels, out x in x 3 x 3, as the 36 matrices that tiles are multiplied by, 36 x out x in."""
    matrix = _of_weights().to(torch.float64)
    wide = torch.einsum('ik,ockl,jl->ijoc', matrix, weight.detach().double(), matrix)
    return wide.flatten(0, 1).to(weight.dtype).contiguous()


def _of_weights() -> Tensor:
    """6 x 3, G of F(4, 3): rows for 0, the points and infinity."""
    near, far = (point**2 for point in _POINTS)
    rows = [[1 / (near * far), 0, 0]]
    for point, scale in zip(_POINTS, (2 * near * (near - far), 2 * far * (far - near))):
        rows += [[1 / scale, sign * point / scale, point**2 / scale] for sign in (1, -1)]
    return torch.tensor([*rows, [0, 0, 1]], dtype=torch.float64)
