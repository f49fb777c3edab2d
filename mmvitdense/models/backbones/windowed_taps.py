"""One map of a ViT from windows of the image and from the whole image made smaller, as DINOv3's detector reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import HoldsViT, constructed_undrawn
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.option_types import CountOrZero
from mmvitdense.registry import MODELS

from .holding import build_held_vit
from .vit_sizes import block_indices


@MODELS.register_module()
class WindowedTaps(HoldsViT, InitializedModule):
    """The maps of a ViT after some blocks side by side, of the image or of windows of it.

    With windows, the image is cut into `num_windows` rows and columns of windows whose sides are multiples of the
    patch, the last ones smaller. The ViT sees each window, and the whole image shrunk to the size of a window, whose
    map is stretched to that of all windows and stands before it (`dinov3/eval/detection/models/windows.py` of
    facebookresearch/dinov3). So the ViT runs `num_windows**2 + 1` times, on images nearer to the size that it was
    trained with. Small images have fewer windows.

    The ViT keeps its options: `vit=dict(frozen_stages='all')` keeps it as it is.

    Args:
        vit: A ViT or its config, of a `PlainViT` if without type.
        out_indices: Blocks whose output is returned, negative ones from the end; None for the last block of each
            quarter of the depth.
        num_windows: Windows of a row and of a column; 0 for the image as it is.
        norm: Whether the final norm is applied to each map.
        init_cfg: As in mmengine; weights of the ViT belong into `vit`.

    Attributes:
        out_channels: Channels of the map.

    Raises:
        ValueError: There is no such block, there are fewer than four where they are to be chosen, one window is asked
            for, or there is no final norm to apply.
    """

    @constructed_undrawn
    def __init__(
        self,
        vit: dict[str, Any] | nn.Module,
        out_indices: int | Sequence[int] | None = None,
        num_windows: CountOrZero = 0,
        norm: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.vit = build_held_vit(vit)
        self.embed_dims, self.num_layers = self.vit.embed_dims, self.vit.num_layers
        if out_indices is None:
            out_indices = _quarters(self.num_layers)
        self.out_indices = block_indices('out_indices', out_indices, self.num_layers)
        self.num_windows, self.norm = num_windows, norm
        if num_windows == 1:
            raise ValueError('num_windows got 1, which is the image as it is; expected 0, or 2 and more: give 0.')
        if norm and isinstance(self.vit.norm, nn.Identity):
            raise ValueError("norm=True needs a ViT with a final norm: give vit=dict(final_norm='all'), or norm=False.")
        self.out_channels = self.embed_dims * len(self.out_indices) * (2 if num_windows else 1)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Map an image, B x in_channels x H x W, to one B x out_channels x ceil(H/patch) x ceil(W/patch)."""
        if not self.num_windows:
            return (self.taps(image),)
        image = self._padded(image)
        size = tuple(self._window(side) for side in image.shape[-2:])
        rows = [[self.taps(window) for window in row.split(size[1], dim=-1)] for row in image.split(size[0], dim=-2)]
        windows = torch.cat([torch.cat(row, dim=-1) for row in rows], dim=-2)
        whole = self.taps(_shrunk(image, size))
        whole = F.interpolate(whole, windows.shape[-2:], mode='bilinear', align_corners=False)
        return (torch.cat([whole, windows], dim=1),)

    def taps(self, image: Tensor) -> Tensor:
        """The maps of the ViT side by side, B x C x h x w."""
        return torch.cat(self.vit.intermediate(image, self.out_indices, self.norm), dim=1)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter of the ViT."""
        return self.vit.get_layer_depth(param_name, f'{prefix}vit.')

    def _window(self, side: int) -> int:
        """Side of a window, a multiple of the patch."""
        patch = self.vit.patch_size
        return max(-(-(side // self.num_windows) // patch), 1) * patch

    def _padded(self, image: Tensor) -> Tensor:
        """The image with zeros at the bottom and on the right up to whole patches, as ViTs pad it."""
        bottom, right = (-side % self.vit.patch_size for side in image.shape[-2:])
        return F.pad(image, (0, right, 0, bottom)) if bottom or right else image


def _quarters(num_layers: int) -> tuple[int, ...]:
    if num_layers < 4:
        raise ValueError(
            f'out_indices got None with a ViT of {num_layers} blocks; expected four blocks or more: give out_indices.'
        )
    return tuple(quarter * num_layers // 4 - 1 for quarter in range(1, 5))


def _shrunk(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, over all pixels that fall into one; in float32, as torch does not do it in 16 bits on a CPU."""
    kept = image if image.dtype == torch.float64 else image.float()
    return F.interpolate(kept, size, mode='bilinear', align_corners=False, antialias=True).to(image)
