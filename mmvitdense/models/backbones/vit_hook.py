"""ViT-Hook (Pattern Recognition 179, 2026, 113818): a branch that reads the last map of a ViT that is left as it is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmvitdense.layers import constructed_undrawn, resize_position_table
from mmvitdense.option_types import Count, CountOrZero, DropRate, Positive
from mmvitdense.registry import MODELS

from .adapters import (
    VIT_LEVEL,
    Extractor,
    FullExtractor,
    InteractionBackbone,
    LevelAttention,
    Sampling,
    TokenLevels,
)
from .holding import build_held_vit
from .vit import ViT
from .vit_sizes import patch_grid

SELF_ATTENTIONS = ('full', 'deformable', None)
CROSS_ATTENTIONS = ('deformable', 'full', None)


@MODELS.register_module()
class ViTHook(InteractionBackbone):
    """ViT-Hook: the ViT runs once, then hooks let the maps of a convolutional stem attend to each other and to the last
    map of the ViT (`mmseg/models/backbones/vit_hooks` of siyuan-mei/ViT-Hook).

    Stem and output are those of `ViTAdapter`, which is what DINOv3's adapter is built with: that one reads a map of
    each stage. Gradients enter the ViT through its last map alone, so that it can be frozen, or some of its blocks
    tuned, and keeps nothing for the backward pass before the first of these::

        dict(
            type='mmvitdense.ViTHook',
            vit=dict(preset='dinov2-base', patch_size=16, final_norm=None, frozen_stages='all', tuned_blocks=(5, 11)),
            deform_num_heads=12,
            drop_path_rate=0.3,
            norm_cfg=dict(type='SyncBN'),
        )

    Args:
        vit: See `InteractionBackbone`. That of the official code has no class token and resizes its table of
            positions with `pos_resize=dict(antialias=True)`.
        num_hooks: How many hooks follow each other.
        self_attention: How the tokens of the branch attend to each other: 'full', of which there are 5.25 times as many
            as patches; 'deformable', whose cost grows with their number alone; None, not.
        cross_attention: How they attend to the patches: 'deformable', 'full', or None for hooks that do not, and have
            no convolutional network (detection code).
        num_extra_cross_attentions: How many more times those of the last hook attend to the patches; 2 in the official
            code where it has any.
        deform_num_heads: Heads of all attentions.
        n_points: Sampling points of the deformable attention for each head and level.
        deform_ratio: Channels of its values as a share of those of the ViT.
        cffn_ratio: Channels inside the convolutional networks, as a share; None for none of these.
        drop_path_rate: Stochastic depth of self-attentions and networks.
        pos_img_size: Side (or height and width) in pixels of the images of the training, for a table of positions that
            is added to the maps of the stem and resized to each image; None for no table.
        conv_inplane: Channels of the stem.
        vit_feature: 'last' for outputs to which the map of the ViT is added, None for outputs without it.
        norm_eps: Epsilon of the norms of the hooks.
        norm_cfg: See `InteractionBackbone`.
        out_vit_map: See `InteractionBackbone`.
        with_cp: See `InteractionBackbone`.
        init_cfg: See `InteractionBackbone`.
        in_channels: See `InteractionBackbone`.
    """

    @constructed_undrawn
    def __init__(
        self,
        vit: dict | ViT,
        num_hooks: Count = 4,
        self_attention: str | None = 'full',
        cross_attention: str | None = 'deformable',
        num_extra_cross_attentions: CountOrZero = 0,
        deform_num_heads: Count = 12,
        n_points: Count = 4,
        deform_ratio: Positive = 0.5,
        cffn_ratio: Positive | None = 0.25,
        drop_path_rate: DropRate = 0.0,
        pos_img_size: int | Sequence[int] | None = None,
        conv_inplane: Count = 64,
        vit_feature: str | None = 'last',
        norm_eps: Positive = 1e-6,
        norm_cfg: dict | None = None,
        out_vit_map: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
        in_channels: Count | None = None,
    ):
        vit = build_held_vit(vit, in_channels)
        whole = [[0, vit.num_layers - 1]]
        super().__init__(vit, whole, conv_inplane, vit_feature, norm_cfg, out_vit_map, with_cp, init_cfg)
        _check(num_hooks, self_attention, cross_attention, num_extra_cross_attentions)
        self.pos_grid = self.level_pos_embed = None
        if pos_img_size is not None:
            self.pos_grid = patch_grid('pos_img_size', pos_img_size, self.vit.patch_size)
            rows = self.pos_grid[0] * self.pos_grid[1]
            self.level_pos_embed = nn.Parameter(torch.zeros(1, rows, self.embed_dims))
        attention = {'num_heads': deform_num_heads, 'num_points': n_points, 'value_ratio': deform_ratio}
        attention |= {'norm_eps': norm_eps, 'drop_path_rate': drop_path_rate}
        kind = FullExtractor if cross_attention == 'full' else Extractor

        def hook(index: int) -> Hook:
            count = int(cross_attention is not None) + num_extra_cross_attentions * (index == num_hooks - 1)
            mixer = LevelAttention(self.embed_dims, self_attention, **attention) if self_attention else None
            extractors = (kind(self.embed_dims, num_levels=1, cffn_ratio=cffn_ratio, **attention) for _ in range(count))
            return Hook(mixer, list(extractors))

        self.interactions.append(HookStage([hook(index) for index in range(num_hooks)]))

    def reset_parameters(self) -> None:
        """Start the embedding of the levels, and their positions, with zeros."""
        for table in (self.level_embed, self.level_pos_embed):
            if table is not None:
                nn.init.zeros_(table)

    def place_levels(self, maps: list[Tensor]) -> list[Tensor]:
        """Add the table of positions, resized to each map from its size at the grid of the ViT."""
        if self.level_pos_embed is None:
            return maps
        table = self.level_pos_embed.transpose(1, 2).unflatten(2, self.pos_grid)
        table = _resize_table(table, maps[VIT_LEVEL].shape[2:])
        return [level + _resize_table(table, level.shape[2:]) for level in maps]


class HookStage(nn.Module):
    """The hooks, which follow the last block of the ViT."""

    def __init__(self, hooks: list[Hook]):
        super().__init__()
        self.hooks = nn.ModuleList(hooks)

    def inject(self, patches: Tensor, conv: Tensor, levels: TokenLevels) -> tuple[Tensor, Tensor]:
        """Before the blocks: nothing."""
        return patches, conv

    def extract(self, patches: Tensor, conv: Tensor, levels: TokenLevels) -> Tensor:
        """After the blocks: update the tokens of the branch, B x N x C, by the patches, B x h*w x C."""
        sampling = Sampling(levels.centres, levels.grids[VIT_LEVEL : VIT_LEVEL + 1])
        for hook in self.hooks:
            conv = hook(conv, patches, levels, sampling)
        return conv


class Hook(nn.Module):
    """Tokens of the branch that attend to each other, if they do, then to the patches, as often as there are extractors
    (`HookModule`)."""

    def __init__(self, self_attn: LevelAttention | None, extractors: list[Extractor]):
        super().__init__()
        self.self_attn = self_attn
        self.extractors = nn.ModuleList(extractors)

    def forward(self, conv: Tensor, patches: Tensor, levels: TokenLevels, sampling: Sampling) -> Tensor:
        """Update B x N x C, made of `levels`, by B x h*w x C."""
        if self.self_attn is not None:
            conv = self.self_attn(conv, levels)
        for extractor in self.extractors:
            conv = extractor(conv, patches, levels, sampling)
        return conv


def _check(hooks: int, self_attention: str | None, cross_attention: str | None, extra: int) -> None:
    if hooks < 1 or extra < 0:
        raise ValueError(
            f'num_hooks must be at least 1 and num_extra_cross_attentions at least 0, got {hooks} and {extra}'
        )
    if self_attention not in SELF_ATTENTIONS:
        raise ValueError(f'self_attention must be one of {SELF_ATTENTIONS}, got {self_attention!r}')
    if cross_attention not in CROSS_ATTENTIONS:
        raise ValueError(f'cross_attention must be one of {CROSS_ATTENTIONS}, got {cross_attention!r}')
    if self_attention is None and cross_attention is None:
        raise ValueError('hooks with self_attention=None and cross_attention=None do nothing: give one of them')
    if cross_attention is None and extra:
        raise ValueError(f"num_extra_cross_attentions={extra} needs cross_attention='deformable' or 'full', got None")


def _resize_table(table: Tensor, size: Sequence[int]) -> Tensor:
    resized = resize_position_table(table.flatten(2).mT, tuple(table.shape[2:]), tuple(size), antialias=True)
    return resized.mT.unflatten(2, tuple(size))
