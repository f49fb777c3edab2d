"""The first of a sorted list, the same in PyTorch and in a runtime."""

from __future__ import annotations

import torch
from torch import Tensor


def best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` highest of scores ... x N, and where they are; of equal ones that which comes first.

    ONNX's TopK breaks ties that way, torch.topk in whichever way is fastest, so that eager PyTorch sorts.
    """
    if torch.compiler.is_compiling():
        return torch.topk(scores, count)
    values, places = torch.sort(scores, descending=True, stable=True)
    return values[..., :count], places[..., :count]
