"""Rotary positions of patches (RoFormer, arXiv 2104.09864) as DINOv3, EVA-02, Perception Encoder and SAM 3 define
them in two dimensions.

Each head has d channels; its d/2 angles come half from the row and half from the column of a patch. Channel m is
rotated together with channel m + d/2, as in DINOv3. EVA-02 pairs the channels 2m and 2m + 1, which is the same function
once the rows of the query and key projections are permuted, see `half_pairing`. Weights of Perception Encoder and SAM
3, which do so too, keep their order: their names would not show that it is another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmvitdense.option_types import Count, CountOrZero, Factor, NotNegative, Positive, options_checked

NORMALIZATIONS = ('separate', 'min', 'max')


class Rotation(NamedTuple):
    """Cosines and sines of the angles, each N x d/2 in float32.

    Angle m is that of channels m and m + d/2, or of the neighbours 2m and 2m + 1 where `of_neighbours`.
    """

    cos: Tensor
    sin: Tensor
    of_neighbours: bool = False

    def prepend(self, count: int) -> Rotation:
        """Put `count` tokens before the others that are not rotated."""
        if not count:
            return self
        still = self.cos.new_zeros(count, self.cos.shape[1])
        return self._replace(cos=torch.cat([still + 1.0, self.cos]), sin=torch.cat([still, self.sin]))

    def of_last(self, count: int) -> Rotation:
        """That of the last `count` tokens."""
        return self._replace(cos=self.cos[-count:], sin=self.sin[-count:])

    def repeated(self, window: tuple[int, int], grid: tuple[int, int]) -> Rotation:
        """That of the patches of a grid (h, w), each rotated as its place in a window is."""
        rows, columns = (torch.arange(side) % length for side, length in zip(grid, window))
        places = (rows[:, None] * window[1] + columns).flatten()
        return self._replace(cos=self.cos[places], sin=self.sin[places])


def rotate(tokens: Tensor, rotation: Rotation) -> Tensor:
    """Rotate queries or keys, ... x N x d, in float32 or wider; the result has their type."""
    wide = tokens if tokens.dtype == torch.float64 else tokens.float()
    cos, sin, of_neighbours = rotation
    first, second = wide.unflatten(-1, (-1, 2)).unbind(-1) if of_neighbours else wide.chunk(2, dim=-1)
    turned = first * cos - second * sin, second * cos + first * sin
    joined = torch.stack(turned, dim=-1).flatten(-2) if of_neighbours else torch.cat(turned, dim=-1)
    return joined.to(tokens.dtype)


def half_pairing(num_channels: int) -> Tensor:
    """Channels of a head in the order that turns interleaved pairs (2m, 2m + 1) into half pairs (m, m + d/2).

    Rows of the query and key projections taken in this order make `rotate` compute what interleaved code does.
    """
    return torch.arange(num_channels).unflatten(0, (-1, 2)).T.flatten()


class _Rope(nn.Module):
    def __init__(self, head_dims: int):
        super().__init__()
        if head_dims % 4:
            raise ValueError(f'rotary positions need heads of a multiple of 4 channels, got {head_dims}')
        self.head_dims = head_dims

    def forward(self, grid: tuple[int, int], window_sizes: Sequence[int], device: torch.device) -> tuple[Rotation, ...]:
        """Rotations of the patches of a map and of those of windows.

        Args:
            grid: Height and width of the map in patches.
            window_sizes: Sides of windows in patches.
            device: Where the result is wanted.

        Returns:
            Rotation of h*w patches, row by row, and of side**2 patches for each window size.
        """
        raise NotImplementedError

    def _exponents(self, device: torch.device) -> Tensor:
        count = self.head_dims // 4
        return torch.arange(count, dtype=torch.float32, device=device) / count


class RopeDinov3(_Rope):
    """Rotary positions of DINOv3 (`dinov3/layers/rope_position_encoding.py`).

    Coordinates are the centres of the patches, from -1 to 1 over the image. In a window they are those of the image:
    only differences count, so every window sees its patches as far apart as the image does.

    Args:
        head_dims: Channels of a head.
        base: Longest period; the shortest is 1.
        normalize: What becomes 1: 'separate' height and width each, 'min' or 'max' the shorter or longer side.
        periods_dtype: 'bfloat16' rounds the periods as the published files do, 'float32' does not.
        shift: In training, the largest shift of either axis; None for none.
        jitter: In training, the largest factor of either axis, drawn separately; None for none.
        rescale: In training, the largest factor of both axes; None for none. The pre-training had 2; it makes two
            passes over one image differ.
    """

    kind = 'dinov3'

    @options_checked
    def __init__(
        self,
        head_dims: int,
        base: Positive = 100.0,
        normalize: str = 'separate',
        periods_dtype: str = 'float32',
        shift: NotNegative | None = None,
        jitter: Factor | None = None,
        rescale: Factor | None = None,
    ):
        super().__init__(head_dims)
        if normalize not in NORMALIZATIONS:
            raise ValueError(f"normalize of rope must be one of {NORMALIZATIONS}, got '{normalize}'")
        if periods_dtype not in ('float32', 'bfloat16'):
            raise ValueError(f"periods_dtype of rope must be 'float32' or 'bfloat16', got '{periods_dtype}'")
        self.base = base
        self.normalize = normalize
        self.periods_dtype = getattr(torch, periods_dtype)
        self.shift = shift
        self.jitter = jitter
        self.rescale = rescale

    def forward(self, grid, window_sizes, device):
        height, width = grid
        side = {'separate': None, 'min': min(grid), 'max': max(grid)}[self.normalize]
        extent = (height, width) if side is None else (side, side)
        periods = self.periods(device)
        move = self._draw(device)

        def turn(rows: int, columns: int) -> Rotation:
            axes = [torch.arange(n, dtype=torch.float32, device=device) + 0.5 for n in (rows, columns)]
            axes = [move(2 * axis / length - 1, i) for i, (axis, length) in enumerate(zip(axes, extent))]
            return _rotation(*[2 * math.pi * axis[:, None] / periods for axis in axes])

        return turn(height, width), *(turn(side, side) for side in window_sizes)

    def periods(self, device: torch.device) -> Tensor:
        """Periods of the d/4 angles of an axis, in halves of the axis."""
        return (self.base ** self._exponents(device)).to(self.periods_dtype).float()

    def _draw(self, device: torch.device):
        """One draw of the augmentations, as a function of the coordinates of an axis."""
        if not self.training or (self.shift is None and self.jitter is None and self.rescale is None):
            return lambda axis, index: axis

        def uniform(count: int, bound: float) -> Tensor:
            return (2 * torch.rand(count, device=device) - 1) * bound

        shift = uniform(2, self.shift or 0.0)
        factor = uniform(2, math.log(self.jitter or 1.0)).exp() * uniform(1, math.log(self.rescale or 1.0)).exp()
        return lambda axis, index: (axis + shift[index]) * factor[index]


class RopeAxial(_Rope):
    """Rotary positions by the index of a patch, in neighbouring pairs, columns before rows.

    Perception Encoder counts from 1 beside a class token and from 0 without one, at whatever size of image
    (facebookresearch/perception_models `core/vision_encoder/rope.py:Rope2D`). SAM 3 scales indices so that a map, and
    a window, spans the grid of the pre-training (facebookresearch/sam3 `sam3/model/vitdet.py`), of square maps alone;
    here the longer side of others spans it.

    Args:
        head_dims: Channels of a head.
        theta: Base of the frequencies.
        offset: Index of the first row and column.
        pretrain_grid: Side of the grid that the longer side of any map, or window, spans; None for indices as they are.
    """

    kind = 'axial'
    # Whether channels are in the order of the official code, or in that of `half_pairing`.
    official_order = True

    @options_checked
    def __init__(
        self, head_dims: int, theta: Positive = 1e4, offset: CountOrZero = 0, pretrain_grid: Count | None = None
    ):
        super().__init__(head_dims)
        self.theta, self.offset, self.pretrain_grid = theta, offset, pretrain_grid

    def forward(self, grid, window_sizes, device):
        frequencies = self.theta ** -self._exponents(device)

        def turn(rows: int, columns: int) -> Rotation:
            axes = [torch.arange(n, dtype=torch.float32, device=device) + self.offset for n in (rows, columns)]
            if self.pretrain_grid is not None:
                spans = self._spans(rows, columns)
                axes = [axis * self.pretrain_grid / max(span, 1) for axis, span in zip(axes, spans)]
            return _rotation(*[axis[:, None] * frequencies for axis in axes], official_order=self.official_order)

        return turn(*grid), *(turn(side, side) for side in window_sizes)

    def _spans(self, rows: int, columns: int) -> tuple[int, int]:
        """How many rows, and how many columns, the grid of the pre-training becomes."""
        return max(rows, columns), max(rows, columns)


class RopeEva02(RopeAxial):
    """Rotary positions of EVA-02 (`EVA-02/asuka/rope.py`), in half pairing.

    Coordinates are scaled so that each side of any map, or window, spans the grid of the pre-training.

    Args:
        head_dims: Channels of a head.
        theta: Base of the frequencies.
        pretrain_grid: Side of the grid of the pre-training in patches.
    """

    kind = 'eva02'
    official_order = False

    @options_checked
    def __init__(self, head_dims: int, theta: Positive = 1e4, pretrain_grid: Count = 16):
        super().__init__(head_dims, theta, pretrain_grid=pretrain_grid)

    def _spans(self, rows: int, columns: int) -> tuple[int, int]:
        return rows, columns


def _rotation(row_angles: Tensor, column_angles: Tensor, official_order: bool = False) -> Rotation:
    rows, columns = len(row_angles), len(column_angles)
    parts = [row_angles[:, None].expand(-1, columns, -1), column_angles[None].expand(rows, -1, -1)]
    angles = torch.cat(parts[::-1] if official_order else parts, dim=-1).flatten(0, 1)
    return Rotation(angles.cos(), angles.sin(), official_order)


KINDS = {rope.kind: rope for rope in (RopeDinov3, RopeEva02, RopeAxial)}


def build_rope(options: dict, head_dims: int) -> RopeDinov3 | RopeAxial:
    """Build the rotary positions of `dict(kind=..., ...)`, one of `KINDS`, for heads of `head_dims` channels."""
    options = dict(options)
    kind = options.pop('kind', None)
    if kind not in KINDS:
        raise ValueError(f'kind of rope must be one of {tuple(KINDS)}, got {kind!r}')
    return KINDS[kind](head_dims, **options)
