"""A Vision Transformer of timm, where a plain ViT may stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import QueryMask, recomputed
from mmvitdense.option_types import Count
from mmvitdense.registry import MODELS

from .freezing import freeze, frozen_blocks, frozen_count
from .vit import BaseViT
from .vit_sizes import block_indices


@MODELS.register_module()
class TimmViT(BaseViT):
    """Any `VisionTransformer` of timm as a `ViT`, for adapters and as a backbone.

    It is for models that `PlainViT` does not cover; whatever it covers is faster there, works with windows, and takes
    its weights from any published layout. The weights are timm's: `pretrained=True` loads what it publishes.

    Args:
        model: Name of the model in timm, or the module, created with `dynamic_img_size=True`.
        in_channels: Channels of the image (`in_chans` of timm), of a model that is given by name.
        out_indices: Blocks whose output is returned, see `PlainViT`.
        final_norm: Which outputs are normed, 'all', 'last' or None.
        with_cp: Whether blocks are recomputed in the backward pass.
        frozen_stages: What is frozen, see `PlainViT`; of a module that is given too.
        tuned_blocks: Which of these blocks are trained, see `PlainViT`.
        options: Those of `timm.create_model`.

    Raises:
        ImportError: timm is not installed.
        TypeError: The model is no `VisionTransformer`.
        ValueError: It takes images of one size alone.
    """

    def __init__(
        self,
        model: str | nn.Module,
        *,
        in_channels: Count | None = None,
        out_indices: int | Sequence[int] = -1,
        final_norm: str | None = 'last',
        with_cp: bool = False,
        frozen_stages: int | str = -1,
        tuned_blocks: Sequence[int] = (),
        **options: Any,
    ):
        super().__init__()
        if in_channels is not None:
            options['in_chans'] = in_channels
        self.model = model = _timm_model(model, options)
        first, last = model.blocks[0], model.blocks[-1]
        self.embed_dims, self.num_layers, self.num_heads = model.embed_dim, len(model.blocks), first.attn.num_heads
        self.patch_size, self.in_channels = model.patch_embed.patch_size[0], model.patch_embed.proj.in_channels
        self.num_prefix_tokens, self.norm_eps = model.num_prefix_tokens, first.norm1.eps
        self.drop_path_rate = 0.0 if isinstance(last.drop_path1, nn.Identity) else last.drop_path1.drop_prob
        if final_norm not in ('all', 'last', None):
            raise ValueError(f"final_norm must be 'all', 'last' or None, got {final_norm!r}")
        self.final_norm, self.with_cp = final_norm, with_cp
        self.out_indices = block_indices('out_indices', out_indices, self.num_layers)
        self.frozen_stages = frozen_count(frozen_stages, self.num_layers)
        self.tuned_blocks = block_indices('tuned_blocks', tuned_blocks, self.num_layers)
        tokens = (model.cls_token, model.reg_token, model.pos_embed) if self.frozen_stages >= 0 else ()
        freeze(self._frozen_modules(), [token for token in tokens if token is not None])

    @property
    def norm(self) -> nn.Module:
        """The final norm."""
        return self.model.norm

    def init_weights(self) -> None:
        """Leave the weights as timm drew or loaded them."""

    def train(self, mode: bool = True) -> TimmViT:
        """Switch between training and evaluation; frozen blocks stay in evaluation."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    def embed(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """See `ViT`; an image is padded with zeros at the bottom and on the right to whole patches."""
        image = F.pad(image, (0, -image.shape[-1] % self.patch_size, 0, -image.shape[-2] % self.patch_size))
        grid = (image.shape[-2] // self.patch_size, image.shape[-1] // self.patch_size)
        tokens = self.model.patch_drop(self.model._pos_embed(self.model.patch_embed(image)))
        return self.model.norm_pre(tokens), grid

    def patch_kernel(self) -> tuple[Tensor, Tensor | None]:
        """See `ViTWithPatchKernel`."""
        return self.model.patch_embed.proj.weight, self.model.patch_embed.proj.bias

    def block_keys(self, tokens: Tensor, block: int) -> Tensor:
        """See `ViTWithKeys`."""
        layers = self.model.blocks[block]
        return layers.attn.qkv(layers.norm1(tokens)).chunk(3, dim=-1)[1]

    def positions(self, grid: tuple[int, int], extra: int = 0) -> None:
        """Nothing: all positions are in the tokens."""

    def run_blocks(
        self,
        tokens: Tensor,
        grid: tuple[int, int],
        start: int = 0,
        stop: int | None = None,
        positions: None = None,
        with_cp: bool = False,
        mask: Tensor | QueryMask | None = None,
    ) -> Tensor:
        """See `ViT`."""
        recompute = (self.with_cp or with_cp) and self.training
        masks = () if mask is None else (mask.of_all() if isinstance(mask, QueryMask) else mask,)
        for block in self.model.blocks[start:stop]:
            tokens = recomputed(block, tokens, *masks, when=recompute)
        return tokens

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter, see `ViT`."""
        num_depths = self.num_layers + 2
        prefix = f'{prefix}model.'
        parts = param_name[len(prefix) :].split('.') if param_name.startswith(prefix) else ['']
        if parts[0] in ('patch_embed', 'pos_embed', 'cls_token', 'reg_token', 'dist_token', 'norm_pre'):
            return 0, num_depths
        return (int(parts[1]) + 1 if parts[0] == 'blocks' else num_depths - 1), num_depths

    def _frozen_modules(self) -> list[nn.Module]:
        model, blocks = self.model, frozen_blocks(self.model.blocks, self.frozen_stages, self.tuned_blocks)
        if self.frozen_stages < 0:
            return []
        modules = [model.patch_embed, model.patch_drop, model.norm_pre, *blocks]
        return [*modules, model.norm] if self.frozen_stages == self.num_layers else modules


def _timm_model(model: str | nn.Module, options: dict[str, Any]) -> nn.Module:
    try:
        import timm
        from timm.models.vision_transformer import VisionTransformer
    except ImportError as error:
        raise ImportError('TimmViT needs timm: install it with `pip install timm`') from error
    if isinstance(model, str):
        # A holder may be building its own layers without memory; these come with values.
        with torch.device('cpu'):
            model = timm.create_model(model, **{'num_classes': 0, 'dynamic_img_size': True, **options})
    elif options:
        raise ValueError(f'the options {sorted(options)} are for a model that is given by name, got a module')
    if not isinstance(model, VisionTransformer):
        raise TypeError(f'model must be a VisionTransformer of timm, got {type(model).__name__}')
    if not model.dynamic_img_size:
        raise ValueError(
            'the model takes images of one size alone: create it with timm.create_model(..., dynamic_img_size=True)'
        )
    return model
