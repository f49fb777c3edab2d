"""EoMT: a plain ViT whose last blocks have queries among their tokens (arXiv 2503.19108; tue-mps/eomt)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from mmvitdense.layers import HoldsViT, QueryMask, QueryMasking, constructed_undrawn
from mmvitdense.models.backbones.holding import build_held_vit
from mmvitdense.models.backbones.vit import ViT
from mmvitdense.models.backbones.vit_options import check_sizes
from mmvitdense.models.initialized_module import InitializedModule
from mmvitdense.option_types import Count
from mmvitdense.registry import MODELS

from .mask_head import MaskHead
from .predictions import MaskPredictions
from .query_blocks import run_query_blocks


@MODELS.register_module()
class EoMT(HoldsViT, InitializedModule):
    """Encoder-only mask transformer: classes and masks of queries that run through the last blocks of a ViT.

    It takes the place of the backbone in mmdet's `MaskFormer`, with `MaskTransformerHead`, and in mmseg's
    `EncoderDecoder`, with `MaskTransformerSegHead`; the heads have losses and results, and no weights.

    In training the queries are masked (see `QueryMasking`) and predict before each of their blocks; else they attend
    to all and predict once. Images of any size work.

    Args:
        vit: A ViT or its config, that of a `PlainViT` where it has no type; its `out_indices` are of no account.
            The last blocks attend globally. The published models have no drop path.
        num_classes: Classes without 'no object': things and stuff of panoptic data.
        num_queries: Queries: 200 for COCO and panoptic data, 100 for semantic maps in the published models.
        num_query_blocks: Last blocks that see the queries: 3 for ViT-S and B, 4 for L and 5 for g in the published
            models.
        masked_attention: Whether queries are masked in training; without, they predict once there too.
        init_cfg: See `InitializedModule`. Weights of a pre-trained ViT are given to the ViT inside.

    Raises:
        ValueError: The ViT has no final norm, or fewer blocks than `num_query_blocks`.
    """

    # Its num_classes are those of the data, which is checked before a training.
    counts_classes = True

    @constructed_undrawn
    def __init__(
        self,
        vit: dict | ViT,
        num_classes: Count,
        num_queries: Count = 200,
        num_query_blocks: Count = 4,
        masked_attention: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(init_cfg)
        self.vit = build_held_vit(vit, final_norm='all')
        if isinstance(self.vit.norm, nn.Identity):
            raise ValueError(
                "EoMT predicts from normed tokens, and its ViT has no final norm: give it final_norm='all'"
            )
        check_sizes(num_query_blocks=num_query_blocks)
        if num_query_blocks > self.vit.num_layers:
            raise ValueError(
                f'num_query_blocks must be 1 to {self.vit.num_layers}, the blocks of the ViT, got {num_query_blocks}'
            )
        self.num_query_blocks, self.masked_attention = num_query_blocks, masked_attention
        self.head = MaskHead(self.vit.embed_dims, num_classes, num_queries, self.vit.patch_size)
        self.masking = QueryMasking(num_query_blocks)

    def forward(self, image: Tensor) -> MaskPredictions:
        """Predict from B x in_channels x H x W."""
        tokens, grid = self.vit.embed(image)
        positions = self.vit.positions(grid, extra=self.head.num_queries)
        first = self.vit.num_layers - self.num_query_blocks
        tokens = self.vit.run_blocks(tokens, grid, 0, first, positions)
        return run_query_blocks(
            tokens,
            grid,
            self.vit.patch_size,
            image.shape[-2:],
            self.head,
            self.vit.norm,
            partial(self._run_block, grid=grid, positions=positions, first=first),
            self.num_query_blocks,
            self.masking if self.training and self.masked_attention else None,
        )

    def _run_block(
        self, index: int, tokens: Tensor, mask: QueryMask | None, grid: tuple[int, int], positions: object, first: int
    ) -> Tensor:
        return self.vit.run_blocks(tokens, grid, first + index, first + index + 1, positions, mask=mask)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter of the ViT as it says, the last for all else."""
        return self.vit.get_layer_depth(param_name, f'{prefix}vit.')
