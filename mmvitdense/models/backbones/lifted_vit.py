"""The map of a ViT at twice its resolution or more, made by LiFT (arXiv 2403.14625) or NAF (2511.18452)."""

from __future__ import annotations

import logging
from typing import Any, Literal

import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from mmvitdense.layers import HoldsViT, constructed_undrawn
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.models.necks.map_upsampler import MapUpsampler
from mmvitdense.option_types import Count
from mmvitdense.registry import MODELS

from .freezing import freeze
from .holding import build_held_vit
from .vit import ViTWithKeys
from .vit_sizes import block_indices


@MODELS.register_module()
class LiftedViT(HoldsViT, InitializedModule):
    """One map of a ViT, doubled once or several times with the help of the image, which may be of any size.

    With `LiFT`, `facet='key'`, the last block and `num_iters` of up to 4 (patches of 16) or 3 (of 8) it is what
    saksham-s/lift computes (`lift_extractor.py`). With `NAF` and the normed output of the last block it is what
    valeoai/NAF does, whose weights fit any ViT. The ViT keeps its options: `vit=dict(frozen_stages='all')` keeps it
    as it is.

    Args:
        vit: A ViT or its config, of a `PlainViT` if without type.
        lift: What makes the map denser: options of a `LiFT`, or with a type of another `MapUpsampler` such as
            `NAF` or `BilinearUpsampler`, but for those that the ViT decides; or the module.
        num_iters: How often the map is doubled.
        layer: The block whose features are taken, negative from the end.
        facet: 'token' for its output, 'key' for the keys of its attention. Those have the order of LiFT's code,
            the heads of each channel side by side; the rest of that block has no use: freeze the ViT.
        norm: Whether the final norm is applied to the output of the block; not for keys.
        frozen_lift: Whether the upsampler is kept as it is, in evaluation.
        keep_maps: Whether the map of the ViT and those of each doubling are returned, from coarse to fine; else the
            last.
        init_cfg: As in mmengine; weights of ViT and upsampler belong into theirs.

    Raises:
        TypeError: The ViT does not give the keys that are asked for, or `lift` is no `MapUpsampler`.
        ValueError: There is no such block, no final norm to apply, or the upsampler does not fit the ViT.
    """

    @constructed_undrawn
    def __init__(
        self,
        vit: dict[str, Any] | nn.Module,
        lift: dict[str, Any] | MapUpsampler | None = None,
        num_iters: Count = 1,
        layer: int = -1,
        facet: Literal['token', 'key'] = 'token',
        norm: bool = False,
        frozen_lift: bool = True,
        keep_maps: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        if facet not in ('token', 'key'):
            raise ValueError(f"facet must be 'token' or 'key', got {facet!r}")
        self.vit = build_held_vit(vit)
        self.embed_dims, self.num_layers = self.vit.embed_dims, self.vit.num_layers
        self.patch_size = self.vit.patch_size
        (self.layer,) = block_indices('layer', layer, self.num_layers)
        self.num_iters, self.facet, self.norm, self.keep_maps = num_iters, facet, norm, keep_maps
        _check(self.vit, facet, norm)
        self.lift = self._built(lift)
        self.lift.check_channels(self.embed_dims)
        self.frozen_lift = frozen_lift
        if frozen_lift:
            freeze([self.lift])

    def init_weights(self) -> None:
        """As mmengine; an upsampler that is frozen as it was drawn is warned of."""
        super().init_weights()
        learned = any(True for _ in self.lift.parameters())
        if learned and self.frozen_lift and not self.lift.init_cfg and not self.init_cfg:
            print_log(
                f'{type(self.lift).__name__} is frozen with the weights that it was built with: unless a checkpoint '
                f'brings others, give lift=dict({self.lift.weights_advice}) or frozen_lift=False',
                logger='current',
                level=logging.WARNING,
            )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map an image, B x 3 x H x W.

        Returns:
            One map of B x embed_dims x s*h x s*w, h = ceil(H / patch) and s = 2^num_iters; with `keep_maps` those
            with s = 1, 2 and so on.
        """
        image = self.padded(image)
        maps = self.features(image)
        if not self.keep_maps:
            return tuple(self.lift.denser(image, maps, [self.num_iters]))
        return maps, *self.lift.denser(image, maps, range(1, self.num_iters + 1))

    def padded(self, image: Tensor) -> Tensor:
        """The image with zeros at the bottom and on the right up to whole patches, as ViTs pad it."""
        bottom, right = (-side % self.patch_size for side in image.shape[-2:])
        return F.pad(image, (0, right, 0, bottom)) if bottom or right else image

    def features(self, image: Tensor) -> Tensor:
        """The map that is made denser, B x embed_dims x h x w."""
        if self.facet == 'token':
            return self.vit.intermediate(image, [self.layer], self.norm)[0]
        tokens, grid = self.vit.embed(image)
        tokens = self.vit.run_blocks(tokens, grid, 0, self.layer) if self.layer else tokens
        keys = self.vit.block_keys(tokens, self.layer)
        # dino-vit-features, from which the official code has it, puts the heads last.
        return self.vit.to_map(keys.unflatten(-1, (self.vit.num_heads, -1)).transpose(-1, -2).flatten(-2), grid)

    def train(self, mode: bool = True) -> LiftedViT:
        """Switch between training and evaluation; what is frozen stays in evaluation."""
        super().train(mode)
        if self.frozen_lift:
            self.lift.eval()
        return self

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter of the ViT; the upsampler is behind it."""
        return self.vit.get_layer_depth(param_name, f'{prefix}vit.')

    def _built(self, lift: dict[str, Any] | MapUpsampler | None) -> MapUpsampler:
        of_vit = {'in_channels': self.embed_dims, 'patch_size': self.patch_size}
        options = {} if isinstance(lift, nn.Module) else {'type': 'mmvitdense.LiFT', **(lift or {})}
        kind = type(lift) if isinstance(lift, nn.Module) else MODELS.get(options['type'])
        if not (isinstance(kind, type) and issubclass(kind, MapUpsampler)):
            raise TypeError(f'lift must be a MapUpsampler such as LiFT or NAF, got {options.get("type", kind)}')
        sizes = {name: of_vit[name] for name in kind.of_vit}
        if options:
            given = {name: options[name] for name in sizes if name in options}
        else:
            given = {name: getattr(lift, name) for name in sizes}
        if wrong := {name: value for name, value in given.items() if value != sizes[name]}:
            raise ValueError(f'{kind.__name__} is given {wrong}, and the ViT has {sizes}: leave them out of lift')
        return MODELS.build({**options, **sizes}) if options else lift


def _check(vit: nn.Module, facet: str, norm: bool) -> None:
    if facet == 'key' and not isinstance(vit, ViTWithKeys):
        raise TypeError(f"facet='key' needs a ViT with block_keys(), {type(vit).__name__} has none")
    if facet == 'key' and norm:
        raise ValueError("norm=True is for outputs of blocks: give norm=False with facet='key'")
    if norm and isinstance(vit.norm, nn.Identity):
        raise ValueError("norm=True needs a ViT with a final norm: give vit=dict(final_norm='all'), or norm=False")
    if vit.in_channels != 3:
        raise ValueError(f'upsamplers read images of 3 channels, the ViT has in_channels={vit.in_channels}')
