"""Blocks that run on queries and patches together, with predictions before each and after the last."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from mmvitdense.layers import QueryMask, QueryMasking

from .mask_head import MaskHead
from .predictions import MaskPredictions

RunBlock = Callable[[int, Tensor, QueryMask | None], Tensor]


def run_query_blocks(
    tokens: Tensor,
    grid: tuple[int, int],
    patch_size: int,
    image_size: tuple[int, int],
    head: MaskHead,
    norm: nn.Module,
    run_block: RunBlock,
    num_blocks: int,
    masking: QueryMasking | None,
) -> MaskPredictions:
    """Run blocks on queries and tokens (EoMT, `models/eomt.py`; PMT's decoder does the same).

    Args:
        tokens: Class and register tokens and patches, B x N x C, without queries and not normed.
        grid: (h, w) of the patches.
        patch_size: Side of a patch in pixels.
        image_size: (height, width) of the images in pixels.
        head: Has the queries and predicts from normed tokens.
        norm: Applied to what the head sees; the tokens that run on stay as they are.
        run_block: Called with the index of the block, from 0, the tokens with the queries first, and a mask or None.
        num_blocks: Blocks.
        masking: Masks of the queries; None where all attend to all, with predictions after the last block alone.
    """
    prefix = tokens.shape[1] - grid[0] * grid[1]
    tokens = head.with_queries(tokens)
    predicted = []
    for index in range(num_blocks):
        mask = None
        if masking is not None:
            predicted.append(head(norm(tokens), grid))
            mask = masking(index, predicted[-1][1], grid, prefix)
        tokens = run_block(index, tokens, mask)
    predicted.append(head(norm(tokens), grid))
    classes, masks = zip(*predicted)
    covered = (grid[0] * patch_size, grid[1] * patch_size)
    return MaskPredictions(classes, masks, tuple(image_size), covered)
