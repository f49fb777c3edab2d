"""NAF: maps of any ViT at any higher resolution, with weights that come from the image alone (arXiv 2511.18452)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmvitdense.layers import NeighborhoodAttention, build_rope, constructed_undrawn, rotate
from mmvitdense.option_types import Count, Factor, Positive
from mmvitdense.pretrainings import IMAGENET
from mmvitdense.registry import MODELS

from .map_upsampler import MapUpsampler
from .naf_encoder import GROUPS, ImageEncoder

_MEAN, _STD = IMAGENET


@MODELS.register_module()
class NAF(MapUpsampler):
    """Neighbourhood attention from places of the image to the cells of a map around them.

    A place of the result is a weighted mean of the features in a window of the map. The weights are the similarity of
    codes of the image there, and do not depend on the features: one set of weights serves any ViT, width and block.

    Layers and names of parameters are those of `src/model/naf.py` of valeoai/NAF, whose files `NAFPretrained` loads
    and whose values it has, without its dependency NATTEN. What differs: positions of a training are drawn in each
    pass, and not once for each size; a map with fewer cells than a window is attended to as a whole, where that code
    refuses it.

    Args:
        dims: Channels of the code of an image, a multiple of 16, of 4 times `rope_heads` and of `num_heads`.
        num_heads: Heads of the attention; each weighs its share of the channels of the map, in their order.
        rope_heads: Heads of the rotary positions.
        window: Side of the window in cells.
        img_layers: Blocks of each encoder.
        rope_base: Longest period of the rotary positions.
        rope_rescale: In training, the largest factor of their coordinates; None for none.
        image_limit: Images that are on either side more than so many times as large as the result are shrunk first.
        keep_aspect: Shrink each side by its own limit; else, as the official code does, both by the limit of the
            shorter side of the result, which distorts images that are no squares.
        fractional: Where the result is no whole multiple of the map. 'natten' is the rule of the official code, by
            which windows hold some cells twice; 'bilinear' makes the nearest whole multiple and stretches that.
        mean: Mean of the pixels that images were normalised with, RGB from 0 to 255, where it is not that of ImageNet,
            which the codes want whatever the ViT does.
        std: Their deviation.
        init_cfg: As in mmengine; `NAFPretrained` loads published or own weights.

    Raises:
        ValueError: `dims` is no multiple of what it must be, or `fractional` is unknown.
    """

    weights_advice: ClassVar[str] = "init_cfg=dict(type='NAFPretrained', checkpoint=...)"

    @constructed_undrawn
    def __init__(
        self,
        dims: Count = 256,
        num_heads: Count = 4,
        rope_heads: Count = 4,
        window: Count = 9,
        img_layers: Count = 2,
        rope_base: Positive = 100.0,
        rope_rescale: Factor | None = 2.0,
        image_limit: Count = 4,
        keep_aspect: bool = False,
        fractional: Literal['natten', 'bilinear'] = 'natten',
        mean: Sequence[float] = _MEAN,
        std: Sequence[float] = _STD,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        if dims % (2 * GROUPS) or dims % (4 * rope_heads) or dims % num_heads:
            raise ValueError(
                f'dims must be a multiple of {2 * GROUPS}, of 4 times rope_heads={rope_heads} and of '
                f'num_heads={num_heads}, got {dims}'
            )
        if fractional not in ('natten', 'bilinear'):
            raise ValueError(f"fractional must be 'natten' or 'bilinear', got {fractional!r}")
        self.num_heads, self.rope_heads, self.fractional = num_heads, rope_heads, fractional
        self.image_limit, self.keep_aspect = image_limit, keep_aspect
        self.mean, self.std = tuple(mean), tuple(std)
        self.image_encoder = ImageEncoder(dims, img_layers)
        rope = {'kind': 'dinov3', 'base': rope_base, 'rescale': rope_rescale}
        self.rope = build_rope(rope, dims // rope_heads)
        self.attention = NeighborhoodAttention(num_heads, window)

    def check_channels(self, channels: int) -> None:
        """As in the base: heads share the channels evenly."""
        if channels % self.num_heads:
            raise ValueError(
                f'NAF with num_heads={self.num_heads} is given maps of {channels} channels: they must be a multiple of '
                'the heads'
            )

    def denser(self, image: Tensor, maps: Tensor, doublings: Sequence[int]) -> list[Tensor]:
        """As in the base: each from the given map."""
        height, width = maps.shape[-2:]
        return [self(image, maps, (2**n * height, 2**n * width)) for n in doublings]

    def forward(self, image: Tensor, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Make a map denser.

        Args:
            image: B x 3 x H' x W', the whole of what the map is of, best at least as large as the result.
            maps: B x C x h x w.
            size: Height and width of the result, of at least h and w.

        Returns:
            B x C x size.

        Raises:
            ValueError: `size` is below that of the map, or C is no multiple of the heads.
        """
        grid, whole = maps.shape[-2:], size
        if self.fractional == 'bilinear':
            whole = tuple(round(fine / coarse) * coarse if fine > coarse else fine for fine, coarse in zip(size, grid))
        query = self.code(image, whole)
        found = self.attention(query, F.adaptive_avg_pool2d(query, grid), maps)
        if whole != size:
            found = F.interpolate(found, size, mode='bilinear', align_corners=False)
        return found

    def code(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """The code of an image at each place of a map of `size`, B x dims x size, in float32 or wider."""
        maps = self.image_encoder(self._limited(self._as_imagenet(image), size), size)
        (rotation,) = self.rope(size, (), maps.device)
        tokens = maps if maps.dtype == torch.float64 else maps.float()
        tokens = tokens.flatten(2).unflatten(1, (self.rope_heads, -1)).transpose(-2, -1)
        return rotate(tokens, rotation).transpose(-2, -1).flatten(1, 2).unflatten(-1, size)

    def _as_imagenet(self, image: Tensor) -> Tensor:
        if (self.mean, self.std) == (_MEAN, _STD):
            return image
        changes = zip(image.unbind(1), self.mean, self.std, _MEAN, _STD, strict=True)
        return torch.stack([(x * std + mean - wanted) / wanted_std for x, mean, std, wanted, wanted_std in changes], 1)

    def _limited(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        limits = [self.image_limit * side for side in size]
        sides = tuple(image.shape[-2:])
        if all(side <= limit for side, limit in zip(sides, limits)):
            return image
        if not self.keep_aspect:
            limits = [min(limits)] * 2
        sides = tuple(min(side, limit) for side, limit in zip(sides, limits))
        return F.interpolate(image, sides, mode='bilinear', align_corners=False)
