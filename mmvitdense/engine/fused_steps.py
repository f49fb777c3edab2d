"""Steps of Adam and AdamW on a CPU in one pass over the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Adam, AdamW

from .whole_checkpoint import single_wrappers

_FUSED = (Adam, AdamW)
_LEFT_OPEN = {'foreach': None, 'fused': None, 'capturable': False, 'differentiable': False}
"""Options of the way of a step, as they are where a config does not choose it."""


def fuse_steps(optim_wrapper: Any) -> None:
    """Have torch's fused kernel make the steps where the weights of a group are on a CPU and the config leaves it open.

    By default torch goes through the weights one after the other there, in several passes, and takes about ten times
    as long for the same numbers up to rounding. What is resumed goes on as it began: the way of the step is part of
    the state of the optimizer.

    Args:
        optim_wrapper: What was built.
    """
    for wrapper in single_wrappers(optim_wrapper):
        if type(wrapper.optimizer) not in _FUSED:
            continue
        for group in wrapper.optimizer.param_groups:
            plain = all(_is_plain(p) for p in group['params'])
            left_open = all(group.get(name) == default for name, default in _LEFT_OPEN.items())
            if plain and left_open:
                group['fused'] = True


def _is_plain(weight: torch.Tensor) -> bool:
    """On a CPU, and no part of a weight that several processes share."""
    return type(weight) is nn.Parameter and weight.is_cpu and weight.dtype in (torch.float32, torch.float64)
