"""What ViT-Adapter and ViT-CoMer share: a plain ViT and a convolutional branch that exchange between stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitdense.layers import (
    HoldsViT,
    UpConv2d,
    build_norm2d,
    constructed_undrawn,
    draw_adapter_conv,
    draw_vit_linear,
    recomputed,
)
from mmvitdense.models.backbones.holding import build_held_vit
from mmvitdense.models.backbones.vit import ViT
from mmvitdense.models.backbones.vit_sizes import evenly_spaced
from mmvitdense.models.initialized_module import InitializedModule

from .outputs import normed_sum
from .spatial_prior import SpatialPriorModule
from .token_levels import TokenLevels

STRIDES = (4, 8, 16, 32)
VIT_LEVEL = 1
"""Which of the three levels of tokens has the grid of the ViT."""
VIT_FEATURES = ('last', 'stagewise', None)


class InteractionBackbone(HoldsViT, InitializedModule):
    """A plain ViT, cut into stages, beside the maps of a convolutional stem.

    Subclasses fill `interactions` with one module for each stage, which has two methods:
    `inject(patches, conv, levels) -> patches, conv` is called before the blocks of the stage and
    `extract(patches, conv, levels) -> conv` after them, on the patches of the ViT, B x h*w x C, and the tokens of the
    branch, B x N x C.

    Images are padded with zeros at the bottom and on the right to multiples of 32 pixels, and the outputs are cropped.

    Args:
        vit: Config of the ViT, its type `PlainViT` if not given, or the module, which is never changed: any that
            keeps the contract `ViT`. Its patches have 16 pixels; its `out_indices` are of no account. With
            `final_norm` its maps are normed before they are added to the outputs.
        interaction_indexes: First and last block of each stage, such as [[0, 2], [3, 5], [6, 8], [9, 11]]; None for
            four stages of one length.
        conv_inplane: Channels of the stem.
        vit_feature: Which maps of the ViT are added to the four outputs: 'last', the last one to all (detection code of
            both models); 'stagewise', that of each of four stages to one output, the first to the largest
            (segmentation code); None, none. A wrong choice loads cleanly and gives wrong numbers.
        norm_cfg: Norm of the stem and of the outputs, see `build_norm2d`; 'SyncBN' in the published models.
        out_vit_map: Whether the last map of the ViT is returned before the four others.
        with_cp: Whether the blocks of the ViT and the interactions are recomputed in the backward pass.
        init_cfg: As in mmengine. The weights of the ViT have their own in `vit`.
        in_channels: Channels of the image, for the stem and the ViT; by default those of the ViT.
    """

    layer_rules = {
        nn.Linear: draw_vit_linear,
        nn.Conv2d: draw_adapter_conv,
        nn.ConvTranspose2d: draw_adapter_conv,
    }

    @constructed_undrawn
    def __init__(
        self,
        vit: dict | ViT,
        interaction_indexes: Sequence[Sequence[int]] | None = None,
        conv_inplane: int = 64,
        vit_feature: str | None = 'last',
        norm_cfg: dict | None = None,
        out_vit_map: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
        in_channels: int | None = None,
    ):
        super().__init__(init_cfg)
        self.vit = build_held_vit(vit, in_channels)
        self.stages = _stages(interaction_indexes, self.vit.num_layers)
        self._check(vit_feature)
        self.embed_dims = dims = self.vit.embed_dims
        self.vit_feature, self.out_vit_map, self.with_cp = vit_feature, out_vit_map, with_cp
        norm = partial(build_norm2d, norm_cfg or {'type': 'BN'})
        self.level_embed = nn.Parameter(torch.zeros(3, dims))
        self.spm = SpatialPriorModule(dims, conv_inplane, norm, self.vit.in_channels)
        self.up = UpConv2d(dims, dims)
        self.norm1, self.norm2, self.norm3, self.norm4 = (norm(dims) for _ in STRIDES)
        self.interactions = nn.ModuleList()

    def reset_parameters(self) -> None:
        """Draw the embedding of the levels."""
        nn.init.normal_(self.level_embed)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map an image, B x in_channels x H x W, to B x C x ceil(H/s) x ceil(W/s) for s = 4, 8, 16, 32."""
        height, width = image.shape[2:]
        padded = F.pad(image, (0, -width % 32, 0, -height % 32))
        finest, conv, levels = self._embed(padded)
        tokens, grid = self.vit.embed(padded)
        positions, prefix = self.vit.positions(grid), self.vit.num_prefix_tokens
        features = []
        for (start, stop), interaction in zip(self.stages, self.interactions):
            patches, conv = self._run(interaction.inject, tokens[:, prefix:], conv, levels)
            tokens = torch.cat([tokens[:, :prefix], patches], dim=1) if prefix else patches
            tokens = self.vit.run_blocks(tokens, grid, start, stop, positions, self.with_cp)
            conv = self._run(interaction.extract, self.features(tokens)[:, prefix:], conv, levels)
            features.append(tokens)
        outputs = self._outputs(finest, conv, levels, self._vit_maps(features, grid))
        strides = STRIDES
        if self.out_vit_map:
            outputs, strides = [self.vit.to_map(tokens, grid), *outputs], (self.vit.patch_size, *strides)
        # Rounded up without the sign, by which exporters would round down.
        return tuple(level[..., : (height + s - 1) // s, : (width + s - 1) // s] for level, s in zip(outputs, strides))

    def features(self, tokens: Tensor) -> Tensor:
        """What the branch collects from, of the tokens of the ViT after a stage: those tokens."""
        return tokens

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter, see `PlainViT`: its own in the ViT, the last for all that is beside it."""
        return self.vit.get_layer_depth(param_name, f'{prefix}vit.')

    def _embed(self, image: Tensor) -> tuple[Tensor, Tensor, TokenLevels]:
        """The finest map, and the three others as tokens with the embedding of their level."""
        finest, *maps = self.spm(image.contiguous(memory_format=torch.channels_last))
        levels = TokenLevels([level.shape[2:] for level in maps], image.device)
        maps = [level + embedding[:, None, None] for level, embedding in zip(maps, self.level_embed)]
        return finest, levels.join(self.place_levels(maps)), levels

    def place_levels(self, maps: list[Tensor]) -> list[Tensor]:
        """Add positions to the maps of the branch, B x C x h x w at strides 8, 16 and 32: none."""
        return maps

    def _run(self, function: Callable, patches: Tensor, conv: Tensor, levels: TokenLevels):
        return recomputed(function, patches, conv, levels, when=self.with_cp and self.training)

    def _vit_maps(self, features: list[Tensor], grid: tuple[int, int]) -> list[Tensor | None]:
        if self.vit_feature is None:
            return [None] * len(STRIDES)
        if self.vit_feature == 'last':
            return [self.vit.output_map(features[-1], grid, last=True)] * len(STRIDES)
        return [self.vit.output_map(tokens, grid, last=tokens is features[-1]) for tokens in features]

    def _outputs(
        self, finest: Tensor, conv: Tensor, levels: TokenLevels, vit_maps: list[Tensor | None]
    ) -> list[Tensor]:
        eighth, *rest = levels.maps(conv)
        maps = [[finest, self.up(eighth)], [eighth], *([level] for level in rest)]
        norms = (self.norm1, self.norm2, self.norm3, self.norm4)
        return [normed_sum(norm, level, feature) for norm, level, feature in zip(norms, maps, vit_maps)]

    def _check(self, vit_feature: str | None) -> None:
        if self.vit.patch_size != 16:
            raise ValueError(
                'the patches of the ViT must have 16 pixels beside maps of strides 8, 16 and 32, got patch_size='
                f'{self.vit.patch_size}: give vit=dict(patch_size=16, ...), ViTPretrained resizes the weights'
            )
        if vit_feature not in VIT_FEATURES:
            raise ValueError(f'vit_feature must be one of {VIT_FEATURES}, got {vit_feature!r}')
        if vit_feature == 'stagewise' and len(self.stages) != len(STRIDES):
            raise ValueError(f"vit_feature='stagewise' needs 4 stages, one for each output, got {len(self.stages)}")
        if vit_feature is None and self.vit.final_norm:
            raise ValueError(
                f'the final norm of the ViT, {self.vit.final_norm!r}, has nothing to norm with vit_feature=None: give '
                'vit=dict(final_norm=None, ...)'
            )


def per_stage(name: str, value: bool | Sequence[bool], num_stages: int) -> tuple[bool, ...]:
    """One value for each stage, from the option `name`."""
    values = (value,) * num_stages if isinstance(value, bool) else tuple(value)
    if len(values) != num_stages:
        raise ValueError(f'{name} must be one value or one for each of the {num_stages} stages, got {value}')
    return values


def _stages(indexes: Sequence[Sequence[int]] | None, num_layers: int) -> tuple[tuple[int, int], ...]:
    """Ranges of blocks, the second number exclusive."""
    if indexes is None:
        stops = [last + 1 for last in evenly_spaced(num_layers)]
        return tuple(zip([0, *stops[:-1]], stops))
    stages = tuple((first, last + 1) for first, last in indexes)
    bounds = [0, *(stop for _, stop in stages)]
    if [start for start, _ in stages] != bounds[:-1] or bounds[-1] != num_layers or bounds != sorted(set(bounds)):
        raise ValueError(
            f'interaction_indexes must give the first and last block of stages that follow each other from 0 to '
            f'{num_layers - 1}, got {indexes}'
        )
    return stages
