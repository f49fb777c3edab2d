"""Attention over a map or inside of its windows in one pass over query, key and value, for inference on a CPU."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from . import backends
from .schemas import OPS

_TYPES = (torch.float32, torch.bfloat16)


def has_map_attention(dtype: torch.dtype) -> bool:
    """Whether `map_attention` is to be had for a type: the processor has AVX-512 (and AVX512-BF16), and the kernels are
    compiled, which a first call does."""
    return dtype in _TYPES and backends.chosen() != 'reference' and _found(dtype)


@cache
def _found(dtype: torch.dtype) -> bool:
    return backends.use_compiled(torch.device('cpu')) and OPS.has_map_attention(dtype == torch.bfloat16)


def map_attention(
    qkv: Tensor,
    num_heads: int,
    grid: tuple[int, int],
    window: int = 0,
    fill: Tensor | None = None,
    tables: tuple[Tensor, Tensor] | None = None,
    offsets: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Scaled dot-product attention of all tokens, or of the patches of each window. Logits, softmax and sums are in
    float32. It has no gradient.

    Args:
        qkv: B x (prefix + h*w) x 3*C in float32 or bfloat16: query, key and value, each one head after the other.
        num_heads: Heads.
        grid: (h, w).
        window: Side of the windows, 0 for none.
        fill: 3*C, of the tokens that fill windows over the edge; zeros when None.
        tables: Decomposed relative positions of rows and columns: each side x d x side in float32, of the place of the
            query, channel and place of the key. Tokens before the patches have none.
        offsets: Biases of the logits, not together with tables: heads x (2*side - 1) x (2*side - 1) in float32 for the
            place of the key minus that of the query, rows first and from the smallest on; and heads x 3 for tokens
            before the patches: from one of them to a patch, from a patch to one of them, among themselves.

    Returns:
        B x (prefix + h*w) x C; with windows B x h*w x C.

    Raises:
        RuntimeError: There is no kernel, see `has_map_attention`.
        ValueError: Shapes do not fit.
    """
    if not has_map_attention(qkv.dtype):
        raise RuntimeError(f'map_attention has no kernel for {qkv.dtype} here: ask has_map_attention first')
    wide = [F.pad(table, (0, -table.shape[-1] % 16)).contiguous() for table in tables or ()] or [None, None]
    biases = [bias.contiguous() for bias in offsets or ()] or [None, None]
    return OPS.map_attention(qkv, num_heads, *grid, window, fill, *wide, *biases)
