"""PMT: a decoder of a few plain blocks on the maps of a frozen ViT (arXiv 2603.25398; tue-mps/pmt)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmvitdense.layers import (
    Attention,
    AttentionPosition,
    HoldsViT,
    Mlp,
    QueryMask,
    QueryMasking,
    TransformerBlock,
    build_norm2d,
    build_rope,
    constructed_undrawn,
)
from mmvitdense.models.backbones.holding import build_held_vit
from mmvitdense.models.backbones.vit import ViT
from mmvitdense.models.backbones.vit_options import check_sizes
from mmvitdense.models.backbones.vit_sizes import block_indices, evenly_spaced
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.option_types import Count, Factor
from mmvitdense.registry import MODELS

from .mask_head import MaskHead
from .predictions import MaskPredictions
from .query_blocks import run_query_blocks

_NORM_EPS = 1e-5


class TrunkTokens(NamedTuple):
    """What a decoder takes of a ViT.

    Attributes:
        indices: Blocks.
        tokens: After each of them, with the final norm, B x (prefix + h*w) x C.
        grid: (h, w) of the patches, the last tokens.
        image_size: (height, width) of the images in pixels.
    """

    indices: tuple[int, ...]
    tokens: tuple[Tensor, ...]
    grid: tuple[int, int]
    image_size: tuple[int, int]


class Lateral(nn.Module):
    """What PMT does with the tokens after one block of the ViT before it adds them up (`models/pmd.py`, `pmt.py`).

    Batch norm over all tokens, class and register tokens too; a residual network with half the channels inside; a gain
    for each channel.

    Args:
        embed_dims: Channels of a token.
        norm_cfg: The norm, see `build_norm2d`; None for none.
    """

    def __init__(self, embed_dims: int, norm_cfg: dict | None):
        super().__init__()
        self.norm = nn.Identity() if norm_cfg is None else build_norm2d(norm_cfg, embed_dims)
        self.projection = nn.Sequential(
            nn.Linear(embed_dims, embed_dims // 2), nn.GELU(), nn.Linear(embed_dims // 2, embed_dims)
        )
        self.gain = nn.Parameter(torch.ones(embed_dims))

    def reset_parameters(self) -> None:
        """Start with gains of one."""
        nn.init.ones_(self.gain)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map B x N x embed_dims to the same shape."""
        tokens = self.norm(tokens.transpose(1, 2).unsqueeze(-1)).squeeze(-1).transpose(1, 2)
        return (tokens + self.projection(tokens)) * self.gain


@MODELS.register_module()
class PMT(HoldsViT, InitializedModule):
    """Plain mask transformer: queries in a decoder of plain ViT blocks, on tokens of a ViT that need not be trained.

    It takes the place of the backbone in mmdet's `MaskFormer` and mmseg's `EncoderDecoder` as `EoMT` does, with
    the same heads, losses and annealing. Freeze the ViT by its own option, `frozen_stages` at its depth for a
    `PlainViT`: then nothing but the decoder is trained, and one ViT serves several decoders, each made with the same
    module as `vit` and run by `decode` on what `trunk_tokens` gave once.

    Args:
        vit: A ViT with a final norm, or its config, that of a `PlainViT` where it has no type; its `out_indices`
            are of no account.
        num_classes: Classes without 'no object': things and stuff of panoptic data.
        num_queries: Queries: 200 for COCO and 100 for ADE20K in the published models.
        num_blocks: Blocks of the decoder.
        tap_indices: Blocks of the ViT after which tokens are taken; the last of each quarter by default, as published.
        feedforward_channels: Of the decoder's blocks; by default as many as a token has, as in all published models.
        norm_cfg: Norm of the tokens that are taken, see `build_norm2d`; None for none.
        rope_rescale: In training, the largest factor of the coordinates of patches in the decoder, see `RopeDinov3`;
            None for none. The published code has 2.0 with DINOv2, and none with a frozen DINOv3.
        masked_attention: Whether queries are masked in training; without, they predict once there too.
        init_cfg: See `InitializedModule`. Weights of a pre-trained ViT are given to the ViT inside.

    Raises:
        ValueError: The ViT has no final norm, or `num_blocks` or `tap_indices` do not fit.
    """

    takes_files_without_vit = True
    without_vit = (
        'the checkpoint has the decoder of a {model} alone: give the ViT an init_cfg of its own with the weights that '
        'the decoder was trained on'
    )

    # Its num_classes are those of the data, which is checked before a training.
    counts_classes = True

    @constructed_undrawn
    def __init__(
        self,
        vit: dict | ViT,
        num_classes: Count,
        num_queries: Count = 200,
        num_blocks: Count = 6,
        tap_indices: Sequence[int] | None = None,
        feedforward_channels: Count | None = None,
        norm_cfg: dict | None = dict(type='SyncBN'),  # noqa: B006 - never changed
        rope_rescale: Factor | None = None,
        masked_attention: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.vit = build_held_vit(vit, final_norm='all')
        if isinstance(self.vit.norm, nn.Identity):
            raise ValueError("PMT takes normed tokens, and its ViT has no final norm: give it final_norm='all'")
        check_sizes(num_blocks=num_blocks)
        depth, channels, heads = self.vit.num_layers, self.vit.embed_dims, self.vit.num_heads
        tap_indices = evenly_spaced(depth) if tap_indices is None else tap_indices
        self.tap_indices = block_indices('tap_indices', tap_indices, depth)
        if not self.tap_indices:
            raise ValueError('tap_indices names no block: give one index at least, or None for the published ones')
        hidden = channels if feedforward_channels is None else feedforward_channels
        check_sizes(feedforward_channels=hidden)
        self.masked_attention = masked_attention
        self.laterals = nn.ModuleList(Lateral(channels, norm_cfg) for _ in self.tap_indices)
        self.rope = build_rope({'kind': 'dinov3', 'rescale': rope_rescale}, channels // heads)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                Attention(channels, heads, qkv_bias='qv'),
                Mlp(channels, hidden),
                channels,
                layer_scale_init=1.0,
                norm_eps=_NORM_EPS,
            )
            for _ in range(num_blocks)
        )
        self.norm = nn.LayerNorm(channels, eps=_NORM_EPS)
        self.head = MaskHead(channels, num_classes, num_queries, self.vit.patch_size)
        self.masking = QueryMasking(num_blocks)

    def forward(self, image: Tensor) -> MaskPredictions:
        """Predict from B x in_channels x H x W."""
        return self.decode(self.trunk_tokens(image))

    def trunk_tokens(self, image: Tensor) -> TrunkTokens:
        """What `decode` takes of B x in_channels x H x W."""
        tokens, grid = self.vit.embed(image)
        positions = self.vit.positions(grid)
        taken, start = [], 0
        for index in self.tap_indices:
            tokens = self.vit.run_blocks(tokens, grid, start, index + 1, positions)
            taken.append(self.vit.norm(tokens))
            start = index + 1
        return TrunkTokens(self.tap_indices, tuple(taken), grid, tuple(image.shape[-2:]))

    def decode(self, trunk: TrunkTokens) -> MaskPredictions:
        """Predict from the tokens of the ViT, those of `trunk_tokens` of any decoder with the same `tap_indices`.

        Raises:
            ValueError: They were taken after other blocks.
        """
        if trunk.indices != self.tap_indices:
            raise ValueError(
                f'PMT takes tokens after the blocks {self.tap_indices}, got those after {trunk.indices}: build the '
                'models that share a ViT with the same tap_indices'
            )
        tokens = sum(lateral(taken) for lateral, taken in zip(self.laterals, trunk.tokens))
        (rotation,) = self.rope(trunk.grid, (), tokens.device)
        before = tokens.shape[1] - trunk.grid[0] * trunk.grid[1] + self.head.num_queries
        return run_query_blocks(
            tokens,
            trunk.grid,
            self.vit.patch_size,
            trunk.image_size,
            self.head,
            self.norm,
            partial(self._run_block, grid=trunk.grid, position=AttentionPosition(rotation.prepend(before))),
            len(self.blocks),
            self.masking if self.training and self.masked_attention else None,
        )

    def _run_block(
        self, index: int, tokens: Tensor, mask: QueryMask | None, grid: tuple[int, int], position: AttentionPosition
    ) -> Tensor:
        return self.blocks[index](tokens, grid, position, mask)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter of the ViT as it says, the last for all else."""
        return self.vit.get_layer_depth(param_name, f'{prefix}vit.')
