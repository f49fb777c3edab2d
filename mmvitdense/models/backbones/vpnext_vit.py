"""Maps of a ViT and of its patch embedding at smaller strides, for VPNeXt (arXiv 2502.16654)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import HoldsViT, constructed_undrawn
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.registry import MODELS

from .holding import build_held_vit
from .vit import ViTWithPatchKernel
from .vit_sizes import block_indices


@MODELS.register_module()
class VPNeXtViT(HoldsViT, InitializedModule):
    """The maps of a ViT after some blocks, then its patch embedding at 1/2 and 1/4 of the stride.

    No code of VPNeXt is public. That a plain ViT has a real pyramid, which serves to upsample, is from its abstract;
    that it is the pre-trained patch embedding moved in smaller steps is our reading. It adds no parameters. At a
    quarter of the stride it costs 16 times the patch embedding.

    Args:
        vit: A ViT or its config, of a `PlainViT` if without type.
        out_indices: Blocks whose output is returned; by default those at a half, three quarters and the end.
        steps: By what the stride of the patch embedding is divided, for each further map.
        norm: Whether the final norm is applied to each map of a block.
        init_cfg: As in mmengine; weights of the ViT belong into `vit`.

    Raises:
        TypeError: The ViT gives no kernel of its patch embedding.
        ValueError: More than a kernel makes its patches, there is no such block, or the patch is no multiple of a step.
    """

    @constructed_undrawn
    def __init__(
        self,
        vit: dict[str, Any] | nn.Module,
        out_indices: Sequence[int] | None = None,
        steps: Sequence[int] = (2, 4),
        norm: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.vit = build_held_vit(vit)
        if not isinstance(self.vit, ViTWithPatchKernel):
            raise TypeError(f'VPNeXtViT needs a ViT with patch_kernel(), {type(self.vit).__name__} has none')
        self.vit.patch_kernel()  # a ViT may have none for its options
        self.embed_dims, self.num_layers = self.vit.embed_dims, self.vit.num_layers
        if out_indices is None:
            out_indices = tuple(self.num_layers * quarters // 4 - 1 for quarters in (2, 3, 4))
        self.out_indices = block_indices('out_indices', out_indices, self.num_layers)
        patch = self.vit.patch_size
        if any(isinstance(s, bool) or not isinstance(s, int) or s < 1 or patch % s for s in steps):
            raise ValueError(f'steps must divide the patch of {patch} pixels, got {tuple(steps)}')
        self.steps, self.norm = tuple(steps), norm

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map an image of any size, B x in_channels x H x W.

        Returns:
            B x embed_dims x h x w for each block, h = ceil(H / patch), then B x embed_dims x step*h x step*w for each
            step.
        """
        maps = self.vit.intermediate(image, self.out_indices, self.norm)
        return (*maps, *(self._embedded(image, step) for step in self.steps))

    def _embedded(self, image: Tensor, step: int) -> Tensor:
        """The patch embedding of patches that are `step` times as dense, around the same centres on average."""
        weight, bias = self.vit.patch_kernel()
        patch = self.vit.patch_size
        stride = patch // step
        # As many new patches as fit symmetrically; an odd number of pixels has the larger half at the end.
        before, after = (patch - stride) // 2, (patch - stride + 1) // 2
        bottom, right = (-side % patch + after for side in image.shape[-2:])
        return F.conv2d(F.pad(image, (before, right, before, bottom)), weight, bias, stride=stride)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter of the ViT."""
        return self.vit.get_layer_depth(param_name, f'{prefix}vit.')
