"""Maps of a ViT after some of its blocks, as the dense heads of DINOv2 and DINOv3 read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import HoldsViT, constructed_undrawn
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.registry import MODELS

from .holding import build_held_vit
from .vit_sizes import block_indices


@MODELS.register_module()
class ViTTaps(HoldsViT, InitializedModule):
    """The maps of a ViT after some blocks, of an image with the same border on both sides.

    DINOv2 (`notebooks/semantic_segmentation.ipynb`, `dinov2/hub/depth/encoder_decoder.py`) and DINOv3
    (`dinov3/eval/depth/models/encoder.py`) train linear and DPT heads on such maps: the border is zeros, half of it
    before and half after the image, the smaller half first; it stays in the maps, as heads stretch theirs to the
    image. For segmentation the final norm is applied to every map, for DINOv2's depth to none.

    The ViT keeps its options: `vit=dict(frozen_stages=N)` with all N blocks keeps it as it is.

    Args:
        vit: A ViT or its config, of a `PlainViT` if without type.
        out_indices: Blocks whose output is returned, negative ones from the end.
        norm: Whether the final norm is applied to each map.
        with_cls_token: Whether each map comes with the class token after the same block, normed as the map.
        centre: Whether the border is on both sides; else it is at the bottom and on the right.
        init_cfg: As in mmengine; weights of the ViT belong into `vit`.

    Raises:
        ValueError: There is no such block, no class token, or no final norm to apply.
    """

    @constructed_undrawn
    def __init__(
        self,
        vit: dict[str, Any] | nn.Module,
        out_indices: int | Sequence[int] = -1,
        norm: bool = True,
        with_cls_token: bool = False,
        centre: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.vit = build_held_vit(vit)
        self.embed_dims, self.num_layers = self.vit.embed_dims, self.vit.num_layers
        self.out_indices = block_indices('out_indices', out_indices, self.num_layers)
        self.norm, self.with_cls_token, self.centre = norm, with_cls_token, centre
        if norm and isinstance(self.vit.norm, nn.Identity):
            raise ValueError("norm=True needs a ViT with a final norm: give vit=dict(final_norm='all'), or norm=False.")
        if with_cls_token and not self.vit.num_prefix_tokens:
            raise ValueError('with_cls_token=True needs a ViT with a class token: give vit=dict(with_cls_token=True).')

    def forward(self, image: Tensor) -> tuple[Tensor, ...] | tuple[tuple[Tensor, Tensor], ...]:
        """Map an image, B x in_channels x H x W, to one B x embed_dims x ceil(H/patch) x ceil(W/patch) per block.

        With `with_cls_token` each of them is a pair with the class token, B x embed_dims.
        """
        states = self.vit.intermediate(self._bordered(image), self.out_indices, self.norm, prefix=self.with_cls_token)
        if not self.with_cls_token:
            return tuple(states)
        return tuple((each, tokens[:, 0]) for each, tokens in states)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter of the ViT."""
        return self.vit.get_layer_depth(param_name, f'{prefix}vit.')

    def _bordered(self, image: Tensor) -> Tensor:
        rows, columns = (-side % self.vit.patch_size for side in image.shape[-2:])
        if (not rows and not columns) or not self.centre:
            return image
        top, left = rows // 2, columns // 2
        return F.pad(image, (left, columns - left, top, rows - top))
